// Types of the client. Times are in milliseconds, but for event times: seconds since 1970.

/** Text of 1 to 255 bytes of UTF-8, or an unsigned 64-bit integer: "7" and 7 are two streams. */
export type StreamId = string | number | bigint;
/** Numbers in the order of the model's inputs; null or NaN where a value is missing. */
export type Row = readonly (number | null)[] | Float32Array | Float64Array;
/** Float32Array; of a model with offsets Float64Array. */
export type Values = Float32Array | Float64Array;

export interface Keys {
  /** The client's own pair, and the worker's public key: 40 characters each. */
  public: string;
  secret: string;
  server: string;
}

/** Read the keys from the files that `streamlstm keys new` wrote. */
export function readKeys(key: string, server: string): Keys;

/** Return the sequence number of a log's offset, of which some may be left out. */
export function sparseSeq(number: number | bigint, generation?: number): bigint;

export interface StepOptions {
  /** The sequence number: 1, 2, ... of each stream, or of `sparseSeq`; left out, not numbered. */
  seq?: number | bigint;
  /** When the observation was made, in seconds since 1970. */
  time?: number | null;
}

export interface StepManyOptions {
  seqs?: readonly (number | bigint)[];
  times?: readonly (number | null)[];
}

/** A prediction and how sure it is; without an online stage, `y` alone. */
export interface Prediction {
  /** The outputs; NaN while nothing is known. */
  y: Values;
  /** Bounds of the outputs at the highest level. */
  low?: Values;
  high?: Values;
  /** The bounds at each level, the lowest first. */
  intervals?: { level: number; low: Values; high: Values }[];
  /** What came with this observation, less what had been predicted for it. */
  error?: Float32Array;
  score?: number;
  pValue?: number;
  alarm?: boolean;
  kind?: "" | "spike" | "level" | "variance" | "calm" | "novelty" | "missing";
  drift?: boolean;
  /** How many values were missing and have been filled. */
  filled?: number;
}

export interface ClientOptions {
  /** Milliseconds after which a call fails. */
  timeout?: number;
  keys?: Keys;
}

/** The table of a fleet. */
export interface Table {
  version: number;
  workers: { name: string; router: string; pull: string; xpub: string }[];
  owners: Uint8Array;
  epochs: Uint8Array;
}

/**
 * Sends requests to a worker, or to a fleet if `router` is any of its workers (or several).
 *
 * Calls are pipelined: they are sent at once, and those of a stream are applied in the order of
 * the calls. `busy` and `moved` are waited for and followed until the time is over. An observation
 * with a number is sent again when a connection is lost.
 */
export class Client {
  constructor(router?: string | readonly string[], options?: ClientOptions);
  step(stream: StreamId, x: Row, options?: StepOptions): Promise<Values>;
  observe(stream: StreamId, x: Row, options?: StepOptions): Promise<Prediction>;
  /** All rows or none are applied; at a fleet each worker applies all of its rows or none. */
  stepMany(streams: readonly StreamId[], X: readonly Row[], options?: StepManyOptions): Promise<Values[]>;
  observeMany(streams: readonly StreamId[], X: readonly Row[], options?: StepManyOptions): Promise<Prediction[]>;
  learn(stream: StreamId, seq: number | bigint, y: Row): Promise<void>;
  reset(stream: StreamId): Promise<void>;
  forget(stream: StreamId): Promise<void>;
  exportStream(stream: StreamId): Promise<Uint8Array>;
  importStream(stream: StreamId, state: Uint8Array): Promise<void>;
  lastSeqs(streams: readonly StreamId[]): Promise<(number | bigint)[]>;
  /** Of a fleet, a stream that moves meanwhile may come twice, or not at all. */
  listStreams(prefix?: string | null): AsyncGenerator<[number | bigint | string, number | bigint]>;
  /** What one worker says of itself and its model (docs/protocol.md#info). */
  info(): Promise<Record<string, any>>;
  ping(): Promise<number>;
  table(): Promise<Table | null>;
  barrier(): Promise<void>;
  close(): void;
}

export interface PublisherOptions {
  timeout?: number;
  /** How long what is not sent yet may take after `close`. */
  linger?: number;
  keys?: Keys;
}

/** Sends observations without replies to the PULL of a worker, or of the gateway of a fleet. */
export class Publisher {
  constructor(pull?: string, options?: PublisherOptions);
  send(stream: StreamId, x: Row, options?: StepOptions): Promise<void>;
  sendMany(streams: readonly StreamId[], X: readonly Row[], options?: StepManyOptions): Promise<void>;
  close(): Promise<void>;
}

export interface SubscriberOptions {
  /** The XPUB of a worker, or ... */
  xpub?: string;
  /** ... the ROUTER of any worker of a fleet, all of which are listened to. */
  router?: string;
  /** Prefixes of texts, and integers; left out, everything. */
  streams?: readonly StreamId[];
  /** Only predictions with an alarm. */
  alarms?: boolean;
  /** With the observation that each answers, `x` and `time`. */
  values?: boolean;
  /** Other events of streams, too. */
  events?: boolean;
  /** Milliseconds after which `receive` fails; left out, never. */
  timeout?: number | null;
  keys?: Keys;
}

export interface Published extends Prediction {
  event: "prediction";
  stream: StreamId;
  seq: number | bigint;
  x?: Values;
  time?: number | null;
}

export interface StreamEvent {
  event: "reset" | "import" | "forget" | "evicted";
  stream: StreamId;
  /** Of `evicted`: whether the stream continues with its next observation. */
  kept?: boolean;
}

/** Receives predictions, whoever sent the observations. */
export class Subscriber<Events extends boolean = false> {
  constructor(options?: SubscriberOptions & { events?: Events });
  receive(): Promise<Events extends true ? Published | StreamEvent : Published>;
  close(): void;
  [Symbol.asyncIterator](): AsyncGenerator<Events extends true ? Published | StreamEvent : Published>;
}

export class StreamLSTMError extends Error {
  /** Of `stepMany` and the like at a fleet: what became of the rows, if some were applied. */
  readonly divided?: { applied: boolean[]; inDoubt: boolean[]; results: unknown[] };
}

/** Arguments that no message can be made of; nothing was sent. */
export class InputError extends StreamLSTMError {}
/** A message that is none of the protocol. */
export class ProtocolError extends StreamLSTMError {}

export class ClosedError extends StreamLSTMError {
  readonly inDoubt: boolean;
}

export class WorkerTimeoutError extends StreamLSTMError {
  /** Whether the observation may have been applied nevertheless. */
  readonly inDoubt: boolean;
}

/** An ERROR of a worker; nothing was applied (docs/protocol.md#errors). */
export class RemoteError extends StreamLSTMError {
  readonly code: string;
  readonly text: string;
  readonly stream: StreamId | null;
  readonly seq: number | bigint | null;
}

export class BusyError extends RemoteError {
  readonly retryAfter?: number;
}

export class MovedError extends RemoteError {
  readonly partition: number;
  readonly epoch: number;
  readonly router: string | null;
}

export class SequenceError extends RemoteError {
  /** The last number of the stream. */
  readonly lastSeq: number | bigint;
}

export class GapError extends SequenceError {}

export class DuplicateError extends SequenceError {
  /** What it was answered, if it is the last of its stream. */
  readonly observed?: Prediction;
}

export class FencedError extends SequenceError {}
