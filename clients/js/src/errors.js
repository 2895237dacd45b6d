// All errors. Each says what was expected, what came, where, and what to do.

/** Base class of all errors of this package. */
export class StreamLSTMError extends Error {
  get name() {
    return this.constructor.name;
  }
}

/** Arguments that no message can be made of; nothing was sent. */
export class InputError extends StreamLSTMError {}

/** A message that is none of the protocol, version 1. */
export class ProtocolError extends StreamLSTMError {}

/** A client that was closed. `inDoubt`: whether the request may have been applied. */
export class ClosedError extends StreamLSTMError {
  constructor(text, inDoubt = false) {
    super(text);
    this.inDoubt = inDoubt;
  }
}

/** A worker that did not reply in time. `inDoubt`: whether the request may have been applied. */
export class WorkerTimeoutError extends StreamLSTMError {
  constructor(text, inDoubt = false) {
    super(text);
    this.inDoubt = inDoubt;
  }
}

/** An ERROR of a worker: its `code` and text (docs/protocol.md#errors); nothing was applied. */
export class RemoteError extends StreamLSTMError {
  constructor({ code, text, stream, seq }) {
    super(stream === null ? `${code}: ${text}` : `${stream}: ${code}: ${text}`);
    Object.assign(this, { code, text, stream, seq });
  }
}

/** `busy`, and still so when the time was over; `retryAfter` in milliseconds, or undefined. */
export class BusyError extends RemoteError {}

/** `moved`, and no owner was found in time. */
export class MovedError extends RemoteError {}

/** An observation whose number is not the next of its stream; `lastSeq` is the last. */
export class SequenceError extends RemoteError {}

/** `gap`: observations before this one are missing. */
export class GapError extends SequenceError {}

/**
 * `duplicate`: applied before. If it was the last of its stream, `observed` is what it was
 * answered then.
 */
export class DuplicateError extends SequenceError {}

/** `fenced`: another publisher has taken the stream over. */
export class FencedError extends SequenceError {}

const CLASSES = {
  busy: BusyError, moved: MovedError, gap: GapError, duplicate: DuplicateError, fenced: FencedError,
};

/** Make the error of a code. */
export function remoteError(fields) {
  return new (CLASSES[fields.code] ?? RemoteError)(fields);
}

/** Show a value in a message: shortened, never throwing. */
export function shown(value) {
  const text = typeof value === "bigint" ? `${value}n` : JSON.stringify(value) ?? String(value);
  return text.length > 100 ? `${text.slice(0, 97)}...` : text;
}
