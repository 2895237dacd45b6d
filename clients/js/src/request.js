// A call of the program, and the messages that carry it: one, or one for each worker of a fleet.

import { WorkerTimeoutError } from "./errors.js";

/**
 * A call: `count` rows, and what becomes of them.
 *
 * `encode(rows, wide)` returns the bytes of a message of some rows, `decode(reply, count)` the
 * results of its rows. `lanesOf` has the lane of each row, `isDense` says that its numbers are
 * dense, `isRepeatable` that it may be sent again although it may have been applied.
 */
export class Call {
  #resolve;
  #reject;
  #left = 1;
  #error = null;
  #results = [];
  #applied = [];
  #inDoubt = [];
  requests = new Set(); // that are not settled
  refusal = null; // the last `busy` or `moved`

  constructor({ count, lanesOf = [], encode, decode, isDense = false, isRepeatable = false, isWhole = false }) {
    Object.assign(this, { count, lanesOf, encode, decode, isDense, isRepeatable, isWhole });
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** Return its first message: all of it. */
  first(router = null) {
    const rows = Array.from({ length: this.count }, (_, n) => n);
    return new Request(this, rows, [...new Set(this.lanesOf)], router);
  }

  /** Note that a message was replaced by several. */
  divided(request, parts) {
    this.requests.delete(request);
    this.#left += parts - 1;
  }

  /** Take the results of the rows of a message. */
  take(request, results) {
    request.rows.forEach((row, n) => {
      this.#results[row] = results[n];
      this.#applied[row] = true;
    });
    this.#settle(request);
  }

  /** Note why a message failed. */
  fail(request, error) {
    this.#error ??= error;
    if (error.inDoubt) request.rows.forEach((row) => (this.#inDoubt[row] = true));
    this.#settle(request);
  }

  #settle(request) {
    this.requests.delete(request);
    this.#left -= 1;
    if (this.#left > 0) return;
    clearTimeout(this.timer);
    if (this.#error === null) this.#resolve(this.isWhole ? this.#results : this.#results[0]);
    else this.#reject(this.#explained(this.#error));
  }

  /** Say which rows were applied although others were not. */
  #explained(error) {
    if (this.#applied.length === 0) return error;
    const rows = Array.from({ length: this.count }, (_, n) => n);
    error.divided = {
      applied: rows.map((row) => this.#applied[row] ?? false),
      inDoubt: rows.map((row) => this.#inDoubt[row] ?? false),
      results: rows.map((row) => this.#results[row]),
    };
    error.message += "; workers of a fleet have applied other rows of it: `divided` says which";
    return error;
  }
}

/** A message of some rows of a call. */
export class Request {
  #frame = null;
  isDoubted = false; // it was sent before, and may have been applied
  isWide = false; // it was made of numbers of full precision

  constructor(call, rows, lanes, router) {
    Object.assign(this, { call, rows, lanes, router });
    call.requests.add(this);
  }

  get isDense() {
    return this.call.isDense;
  }

  /** Return its bytes. */
  frame() {
    return (this.#frame ??= this.call.encode(this.rows, this.isWide));
  }

  /** Make it of numbers of full precision. */
  widen() {
    this.isWide = true;
    this.#frame = null;
  }

  /** Return a message for each group of lanes in its place. */
  divide(groups) {
    const rows = new Map();
    for (const lanes of groups) {
      const shared = [];
      for (const lane of lanes) rows.set(lane, shared);
    }
    for (const row of this.rows) rows.get(this.call.lanesOf[row]).push(row);
    const parts = groups.map((lanes) => {
      const part = new Request(this.call, rows.get(lanes[0]), lanes, null);
      Object.assign(part, { number: this.number, isDoubted: this.isDoubted, isWide: this.isWide });
      return part;
    });
    this.call.divided(this, parts.length);
    return parts;
  }

  /** Return the results of its rows. */
  decode(reply) {
    return this.call.decode(reply, this.rows.length);
  }

  /** Take the results of its rows. */
  take(results) {
    this.call.take(this, results);
  }

  reject(error) {
    this.call.fail(this, error);
  }

  /** Fail since the time is over. */
  expire(router, seconds, isSent) {
    const isInDoubt = isSent || this.isDoubted;
    if (this.call.refusal !== null && !isInDoubt) return this.reject(this.call.refusal);
    const what = isInDoubt
      ? `no reply within ${seconds} s; it may have been applied`
      : `no worker took the message within ${seconds} s; it was not sent`;
    const check = `Check that a worker runs there: streamlstm info --router ${router}`;
    return this.reject(new WorkerTimeoutError(`${router}: ${what}. ${check}`, isInDoubt));
  }
}
