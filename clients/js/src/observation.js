// Observations as messages: what of STEP and STEPS clients and publishers share.

import { InputError, shown } from "./errors.js";
import { Kind } from "./messages.js";
import { toId, toRows, toUint, toVector } from "./numbers.js";

/** Return a STEP: its stream, its number, and its message, which may be of full precision. */
export function observation(stream, x, { seq = 0, time } = {}) {
  const id = toId(stream), number = toUint(seq, "seq"), moment = checkTime(time);
  const vector = vectorOf(x), more = moment === null ? [] : [moment];
  return { ids: [id], numbers: [number], message: (_, wide) => [Kind.STEP, id, number, vector(wide), ...more] };
}

/** Return a STEPS: its streams, its numbers, and the message of some of its rows. */
export function observations(streams, X, { seqs, times } = {}) {
  const ids = Array.from(streams, toId), rows = Array.from(X, copyOf);
  for (const [name, column] of Object.entries({ X: rows, seqs, times })) {
    if (column !== undefined && column.length !== ids.length) {
      throw new InputError(`${name}: expected one for each of ${ids.length} streams, got ${column.length}`);
    }
  }
  const numbers = seqs && Array.from(seqs, (seq) => toUint(seq, "seqs"));
  const moments = times && Array.from(times, checkTime);
  toRows(rows, false);
  const message = (chosen, wide) => {
    const pick = (column) => chosen.map((row) => column[row]);
    const more = moments ? [pick(moments)] : [];
    return [Kind.STEPS, pick(ids), numbers ? pick(numbers) : null, toRows(pick(rows), wide), ...more];
  };
  return { ids, numbers: numbers ?? [0], message };
}

/** Return a function that makes a vector, of full precision or not, of what the numbers are now. */
export function vectorOf(values, what = "x") {
  const kept = copyOf(values), narrow = toVector(kept, false, what); // what cannot be sent is said at once
  return (wide) => (wide ? toVector(kept, true, what) : narrow);
}

/** Return numbers that the program does not change while they wait. */
function copyOf(values) {
  return Array.isArray(values) || ArrayBuffer.isView(values) ? values.slice() : values;
}

function checkTime(time) {
  if (time === undefined || time === null) return null;
  if (typeof time === "number" && Number.isFinite(time)) return time;
  throw new InputError(`time: expected seconds since 1970, a finite number, got ${shown(time)}`);
}
