// Ids, sequence numbers and vectors, as messages have them and as programs do.

import { InputError, shown } from "./errors.js";

const MAX_UINT = 2n ** 64n - 1n;
const UINT32 = 0xffffffff; // msgpackr writes larger numbers as float64, so they go as BigInt
const MAX_ID_BYTES = 255;
const LARGE = 2 ** 20; // beyond it float32 has a number every 0.125, or fewer
const IS_LITTLE = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

/** Return an unsigned integer as messages have it: a number up to 2^32, else a BigInt. */
export function toUint(value, what) {
  if (Number.isSafeInteger(value) && value >= 0) return value > UINT32 ? BigInt(value) : value;
  if (typeof value === "bigint" && value >= 0n && value <= MAX_UINT) {
    return value > UINT32 ? value : Number(value);
  }
  throw new InputError(
    `${what}: expected an integer from 0 to 2^64 - 1, a BigInt beyond 2^53 - 1, got ${shown(value)}`,
  );
}

/** Return an unsigned integer of a message: a number where that is exact, else a BigInt. */
export function fromUint(value) {
  const isExact = typeof value !== "bigint" || value <= Number.MAX_SAFE_INTEGER;
  const exact = isExact ? Number(value) : value;
  return Number.isSafeInteger(exact) ? exact : BigInt(value);
}

/** Return a stream's id as messages have it; it is the key of a Map, too. */
export function toId(stream) {
  if (typeof stream !== "string") return toUint(stream, "stream");
  const size = Buffer.byteLength(stream);
  if (size === 0 || size > MAX_ID_BYTES || stream.startsWith("\0") || /\p{Surrogate}/u.test(stream)) {
    throw new InputError(
      "stream: expected text of 1 to 255 bytes of UTF-8 that does not begin with a NUL, got " +
        (size > MAX_ID_BYTES ? `${size} bytes` : shown(stream)),
    );
  }
  return stream;
}

/** Return the id of a stream in a message. */
export function fromId(value) {
  return typeof value === "string" ? value : fromUint(value);
}

/**
 * Return numbers as a message has them: a bin of float32 or, where `wide` or where float32 keeps
 * less than a tenth of 1, an array of full precision. null and NaN are missing values.
 */
export function toVector(values, wide, what = "x") {
  const isFloat32 = values instanceof Float32Array;
  if (!isFloat32) check(values, what);
  if (wide || (!isFloat32 && Array.prototype.some.call(values, isLarge))) {
    return Array.from(values, (value) => (value === null || Number.isNaN(value) ? null : value));
  }
  return floats(Float32Array.from(values, (value) => value ?? NaN));
}

/** Return rows as a message has them: one bin of float32, or an array of rows, as `toVector`. */
export function toRows(rows, wide) {
  const vectors = rows.map((row, n) => toVector(row, wide, `row ${n}`));
  if (vectors.every(Buffer.isBuffer) && new Set(vectors.map((row) => row.length)).size === 1) {
    return Buffer.concat(vectors);
  }
  return vectors.map((row, n) => (Buffer.isBuffer(row) ? toVector(rows[n], true) : row));
}

/** Return numbers of a message: Float32Array or, of a model with offsets, Float64Array. */
export function fromVector(value) {
  if (Array.isArray(value)) return Float64Array.from(value, (each) => each ?? NaN);
  const copy = Uint8Array.from(value);
  if (!IS_LITTLE) Buffer.from(copy.buffer).swap32();
  return new Float32Array(copy.buffer);
}

/** Return numbers of a message, of so many rows, as an array of them. */
export function fromRows(value, rows) {
  if (Array.isArray(value)) return value.map(fromVector);
  const all = fromVector(value);
  const width = all.length / rows;
  return Array.from({ length: rows }, (_, n) => all.subarray(n * width, (n + 1) * width));
}

function floats(values) {
  const bytes = Buffer.from(values.buffer);
  return IS_LITTLE ? bytes : bytes.swap32();
}

function isLarge(value) {
  return value >= LARGE || value <= -LARGE;
}

function check(values, what) {
  const isList = Array.isArray(values) || values instanceof Float64Array;
  const wrong = isList ? values.findIndex((each) => typeof each !== "number" && each !== null) : 0;
  if (wrong < 0) return;
  const found = isList ? `${shown(values[wrong])} at ${wrong}` : shown(values);
  throw new InputError(`${what}: expected an array of numbers, null where one is missing, got ${found}`);
}
