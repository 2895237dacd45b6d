// Observations as messages: what of STEP and STEPS clients and publishers share.

import { InputError, shown } from "./errors.js";
import { Kind } from "./messages.js";
import { toId, toRows, toUint, toVector } from "./numbers.js";

/** Return a STEP: its stream, its number, and its message, which may be of full precision. */
export function observation(stream, x, { seq = 0, time } = {}) {
  const id = toId(stream), number = toUint(seq, "seq"), moment = checkTime(time);
  toVector(x, false); // what cannot be sent is said at once
  const more = moment === null ? [] : [moment];
  return { ids: [id], numbers: [number], message: (_, wide) => [Kind.STEP, id, number, toVector(x, wide), ...more] };
}

/** Return a STEPS: its streams, its numbers, and the message of some of its rows. */
export function observations(streams, X, { seqs, times } = {}) {
  const ids = Array.from(streams, toId), rows = Array.from(X);
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

function checkTime(time) {
  if (time === undefined || time === null) return null;
  if (typeof time === "number" && Number.isFinite(time)) return time;
  throw new InputError(`time: expected seconds since 1970, a finite number, got ${shown(time)}`);
}
