// Client of streamlstm: docs/protocol.md in JavaScript.

export { Client, readKeys, sparseSeq } from "./client.js";
export { Publisher } from "./publisher.js";
export { Subscriber } from "./subscriber.js";
export {
  BusyError, ClosedError, DuplicateError, FencedError, GapError, InputError, MovedError,
  ProtocolError, RemoteError, SequenceError, StreamLSTMError, WorkerTimeoutError,
} from "./errors.js";
