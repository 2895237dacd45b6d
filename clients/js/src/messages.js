// Messages to bytes and back: docs/protocol.md.

import { Packr, Unpackr } from "msgpackr";
import { ProtocolError, remoteError } from "./errors.js";
import { fromId, fromRows, fromUint, fromVector } from "./numbers.js";

export const Kind = Object.freeze({
  STEP: 1, STEPS: 2, RESET: 3, EXPORT: 4, IMPORT: 5, INFO: 6, PING: 7, BARRIER: 8, LIST: 9,
  LAST: 10, FORGET: 11, EVICTED: 12, RELOAD: 13, LABEL: 14, TABLE: 16,
  PREDICTION: 129, PREDICTIONS: 130, DONE: 131, ERROR: 255,
});

const KINDS = ["", "spike", "level", "variance", "calm", "novelty", "missing"];
const NUMBERS = { error: "error", score: "score", p: "pValue", filled: "filled" };

const packr = new Packr({ useRecords: false });
const unpackr = new Unpackr({ useRecords: false, int64AsType: "auto" });

/** Encode a message: one msgpack array. */
export function encode(message) {
  return packr.pack(message);
}

/** Decode a message of a worker. */
export function decode(frame) {
  let message;
  try {
    message = unpackr.unpack(frame);
  } catch (error) {
    throw new ProtocolError(`expected one msgpack array, got ${frame.length} bytes (${error.message})`);
  }
  if (!Array.isArray(message) || typeof message[0] !== "number") {
    throw new ProtocolError("expected an array that begins with the kind of the message");
  }
  return message;
}

/** Make the error of an ERROR: `[255, stream, seq, code, text, ...]`. */
export function errorOf([, stream, seq, code, text, number, more, extra]) {
  const error = remoteError({
    code, text, stream: stream === null ? null : fromId(stream), seq: seq === null ? null : fromUint(seq),
  });
  if (code === "busy") error.retryAfter = number;
  if (code === "moved") Object.assign(error, { partition: number, epoch: more, router: extra });
  if (number !== undefined && "gap duplicate fenced".includes(code)) error.lastSeq = fromUint(number);
  if (code === "duplicate" && more) error.observed = observedOf(more, extra);
  return error;
}

/** Make what `observe` returns of y and the map of a PREDICTION. */
export function observedOf(y, extra) {
  const [observed] = observedRows([fromVector(y)], extra, (value) => [vectorOf(value)]);
  return observed;
}

/** Make what `observeMany` returns of Y and the map of a PREDICTIONS. */
export function allObservedOf(Y, extra, rows) {
  return observedRows(fromRows(Y, rows), extra, (value) => fromRows(value, rows));
}

function observedRows(ys, extra, rowsOf) {
  const found = ys.map((y) => ({ y }));
  if (!extra) return found;
  const levels = Array.from(extra.levels ? fromVector(extra.levels) : [], (level) => Number(level.toFixed(6)));
  if (levels.length > 0) {
    const [lows, highs] = [rowsOf(extra.low), rowsOf(extra.high)];
    found.forEach((one, n) => {
      one.intervals = levels.map((level, place) => ({
        level, low: part(lows[n], place, levels.length), high: part(highs[n], place, levels.length),
      }));
      const { low, high } = one.intervals.at(-1); // the widest
      Object.assign(one, { low, high });
    });
  }
  for (const [key, name] of Object.entries(NUMBERS)) {
    if (extra[key] === undefined) continue;
    rowsOf(extra[key]).forEach((row, n) => (found[n][name] = key === "error" ? row : row[0]));
  }
  for (const key of ["alarm", "drift"]) {
    if (extra[key] === undefined) continue;
    rowsOf(extra[key]).forEach((row, n) => (found[n][key] = row[0] !== 0));
  }
  if (typeof extra.kind === "string") found[0].kind = extra.kind;
  else if (extra.kind) rowsOf(extra.kind).forEach((row, n) => (found[n].kind = KINDS[row[0]] ?? ""));
  return found;
}

/** Return one of several equal parts of a row. */
function part(row, n, parts) {
  const width = row.length / parts;
  return row.subarray(n * width, (n + 1) * width);
}

/** Return a value of the map of one row: a vector, or a number or boolean as one. */
function vectorOf(value) {
  return typeof value === "object" ? fromVector(value) : [Number(value)];
}
