// Subscriber: receives the predictions that a worker or a fleet publishes.

import { setTimeout as sleep } from "node:timers/promises";
import { Subscriber as Socket } from "zeromq";
import { Client } from "./client.js";
import { ClosedError, InputError, StreamLSTMError, WorkerTimeoutError, shown } from "./errors.js";
import { security } from "./link.js";
import { Kind, decode, observedOf } from "./messages.js";
import { fromId, fromUint, fromVector, toId } from "./numbers.js";

export const XPUB = "tcp://127.0.0.1:7452";
const ALARM = Buffer.from("\0alarm/"), VALUE = Buffer.from("\0value/");
const INTEGER = 9; // bytes of the topic of an integer
const INTERVAL = 200; // milliseconds between two questions which workers there are
const UNDER_WAY = 5000; // milliseconds for which what a worker published last may come after it left
const EVENTS = {
  [Kind.RESET]: "reset", [Kind.IMPORT]: "import", [Kind.FORGET]: "forget", [Kind.EVICTED]: "evicted",
};

/** Receives predictions, whoever sent the observations. */
export class Subscriber {
  #socket;
  #options;
  #connected = new Set();
  #client = null; // asks a fleet for its table
  #wrong = null;
  #turn = Promise.resolve(); // a socket of zeromq.js has one `receive` at a time

  constructor(options = {}) {
    const { xpub, router, streams = [""], timeout = null, keys } = options;
    const { alarms = false, values = false, events = false } = options;
    if (xpub !== undefined && router !== undefined) {
      throw new InputError("expected only one of xpub, of a worker, and router, of a fleet");
    }
    if (alarms && values) throw new InputError("expected only one of alarms and values");
    if (!Array.isArray(streams) || streams.length === 0) {
      throw new InputError(`streams: expected an array of prefixes and ids, got ${shown(streams)}`);
    }
    this.#options = { alarms, values, events: events && !alarms && !values, timeout };
    const before = alarms ? ALARM : values ? VALUE : Buffer.alloc(0);
    this.#socket = new Socket({ ...security(keys), ipv6: (xpub ?? router ?? "").includes("[") });
    this.#socket.subscribe(...streams.map((each) => Buffer.concat([before, topicOf(each)])));
    if (router === undefined) this.#connect([xpub ?? XPUB]);
    else this.#follow((this.#client = new Client(router, { keys })));
  }

  /** Return the next prediction or, with `events`, another event of a stream. */
  receive() {
    const received = this.#turn.then(() => this.#receive());
    this.#turn = received.catch(() => {});
    return received;
  }

  /** Yield predictions until it is closed. */
  async *[Symbol.asyncIterator]() {
    while (true) {
      try {
        yield await this.receive();
      } catch (error) {
        if (error instanceof ClosedError) return;
        throw error;
      }
    }
  }

  /** Close all connections; who waits for a prediction gets a ClosedError. */
  close() {
    this.#client?.close();
    this.#socket.close();
  }

  async #receive() {
    const { timeout } = this.#options;
    const deadline = timeout === null ? Infinity : performance.now() + timeout;
    while (true) {
      if (this.#socket.closed) throw this.#wrong ?? new ClosedError("the subscriber was closed");
      const left = Math.max(0, Math.round(deadline - performance.now()));
      this.#socket.receiveTimeout = timeout === null ? -1 : left;
      try {
        const event = this.#eventOf(await this.#socket.receive());
        if (event !== null) return event;
      } catch (error) {
        if (error.code !== "EAGAIN") throw error;
        if (this.#socket.closed) continue;
        const from = [...this.#connected].join(", ");
        throw new WorkerTimeoutError(`${from}: no prediction within ${timeout / 1000} s`);
      }
    }
  }

  /** Return what was published; null if it was not asked for. */
  #eventOf([topic, frame]) {
    const { alarms, values, events } = this.#options;
    const [kind, ...parts] = decode(frame);
    if (kind === Kind.DONE) {
      const [what, stream, kept] = parts;
      if (!events || EVENTS[what] === undefined) return null;
      return { event: EVENTS[what], stream: fromId(stream), ...(what === Kind.EVICTED && { kept }) };
    }
    if (kind !== Kind.PREDICTION) return null;
    const [stream, seq, y, extra, x, time] = parts;
    // Who subscribes to everything, or to some integers, gets the copies for alarms and values too.
    const isAlarm = !topic.equals(topicOf(stream)) && topic.subarray(0, ALARM.length).equals(ALARM);
    if (isAlarm !== alarms || (x !== undefined) !== values) return null;
    const found = { event: "prediction", stream: fromId(stream), seq: fromUint(seq), ...observedOf(y, extra) };
    return values ? { ...found, x: fromVector(x), time } : found;
  }

  #connect(endpoints) {
    for (const xpub of endpoints) {
      if (this.#connected.has(xpub)) continue;
      this.#socket.connect(xpub);
      this.#connected.add(xpub);
    }
  }

  /** Connect to all workers of a fleet, as they come and go. */
  async #follow(client) {
    const left = new Map(); // when
    while (!this.#socket.closed) {
      try {
        const table = await client.table();
        if (this.#socket.closed) return;
        if (table === null) throw new InputError("the worker there belongs to no fleet: give its xpub");
        const there = new Set(table.workers.map((worker) => worker.xpub));
        this.#connect(there);
        this.#disconnect(there, left);
      } catch (error) {
        if (error instanceof WorkerTimeoutError) continue;
        if (!(error instanceof StreamLSTMError)) throw error;
        this.#wrong = error;
        return this.close();
      }
      await sleep(INTERVAL);
    }
  }

  /** Disconnect from workers that left a while ago: what they sent last has come. */
  #disconnect(there, left) {
    for (const xpub of this.#connected) {
      if (there.has(xpub)) left.delete(xpub);
      else if (!left.has(xpub)) left.set(xpub, performance.now());
      else if (performance.now() - left.get(xpub) > UNDER_WAY) {
        this.#socket.disconnect(xpub);
        this.#connected.delete(xpub);
        left.delete(xpub);
      }
    }
  }
}

/** Return the topic of a stream, or of a prefix. */
function topicOf(stream) {
  if (stream === "") return Buffer.alloc(0);
  const id = toId(typeof stream === "bigint" || typeof stream === "string" ? stream : fromUint(stream));
  if (typeof id === "string") return Buffer.from(id);
  const topic = Buffer.alloc(INTEGER);
  topic.writeBigUInt64BE(BigInt(id), 1);
  return topic;
}
