// Client: sends requests to a worker or a fleet; all calls are pipelined.

import { readFileSync } from "node:fs";
import { InputError, ProtocolError, shown } from "./errors.js";
import { Exchange } from "./exchange.js";
import { Kind, allObservedOf, encode, observedOf } from "./messages.js";
import { fromId, fromRows, fromUint, fromVector, toId, toUint } from "./numbers.js";
import { observation, observations, vectorOf } from "./observation.js";
import { Call } from "./request.js";

export const ROUTER = "tcp://127.0.0.1:7450";
const SPARSE = 2n ** 63n;
const PAGE = 1000; // streams in a reply to LIST

/** Sends requests and returns promises of the replies. */
export class Client {
  #exchange;

  constructor(router = ROUTER, { timeout = 10_000, keys } = {}) {
    const routers = Array.isArray(router) ? router : [router];
    if (routers.length === 0 || !routers.every((each) => typeof each === "string")) {
      throw new InputError(`router: expected an endpoint such as ${ROUTER}, got ${shown(router)}`);
    }
    try {
      this.#exchange = new Exchange(routers, { timeout, keys });
    } catch (error) {
      throw new InputError(`${shown(router)}: cannot be connected to (${error.message})`);
    }
  }

  // --- observations ---

  /** Advance a stream by one observation; return the prediction. */
  step(stream, x, options) {
    return this.#step(stream, x, options, ([, , , y]) => fromVector(y));
  }

  /** Advance a stream by one observation; return the prediction and how sure it is. */
  observe(stream, x, options) {
    return this.#step(stream, x, options, ([, , , y, extra]) => observedOf(y, extra));
  }

  /** Advance many streams in one message; return a prediction for each. */
  stepMany(streams, X, options) {
    return this.#steps(streams, X, options, ([, , , Y], rows) => fromRows(Y, rows));
  }

  /** Advance many streams in one message; return predictions and how sure they are. */
  observeMany(streams, X, options) {
    return this.#steps(streams, X, options, ([, , , Y, extra], rows) => allObservedOf(Y, extra, rows));
  }

  /** Let a stream learn from labels: what the outputs for an observation should have been. */
  async learn(stream, seq, y) {
    const id = toId(stream), number = toUint(seq, "seq"), vector = vectorOf(y, "y");
    await this.#streams([id], (_, wide) => [Kind.LABEL, id, number, vector(wide)]);
  }

  // --- streams ---

  /** Start a stream anew. */
  async reset(stream) {
    await this.#stream(Kind.RESET, stream);
  }

  /** Delete a stream, its state and its number. */
  async forget(stream) {
    await this.#stream(Kind.FORGET, stream);
  }

  /** Return the state of a stream. */
  exportStream(stream) {
    return this.#stream(Kind.EXPORT, stream, [], true);
  }

  /** Give a stream a state that `exportStream` returned. */
  async importStream(stream, state) {
    await this.#stream(Kind.IMPORT, stream, [state]);
  }

  /** Return the last number of each stream, 0 of one that was never numbered. */
  async lastSeqs(streams) {
    const ids = streams.map(toId);
    if (ids.length === 0) return [];
    return this.#streams(ids, (rows) => [Kind.LAST, rows.map((row) => ids[row])], {
      decode: ([, , , last]) => last.map(fromUint), isRepeatable: true, isWhole: true,
    });
  }

  /**
   * Yield all streams with their last numbers; with a prefix, texts that begin with it. One that
   * moves to another worker meanwhile may come twice, or not at all.
   */
  async *listStreams(prefix = null) {
    const { workers } = (await this.table()) ?? { workers: [{ router: null }] };
    for (const { router } of workers) {
      for (let after = null, page = []; ; after = toId(page.at(-1)[0])) {
        page = await this.#ask([Kind.LIST, prefix, after, PAGE], router);
        for (const [stream, last] of page) yield [fromId(stream), fromUint(last)];
        if (page.length === 0) break;
      }
    }
  }

  // --- the worker ---

  /** Return what a worker says of itself and its model. */
  info() {
    return this.#ask([Kind.INFO]);
  }

  /** Return how many milliseconds a request and its reply take. */
  async ping() {
    const before = performance.now();
    await this.#ask([Kind.PING, 0]);
    return performance.now() - before;
  }

  /** Return the table of the fleet, null of a single worker. */
  async table() {
    try {
      return await this.#ask([Kind.TABLE]);
    } catch (error) {
      if (error.code === "unknown-kind") return null; // it was made before there were fleets
      throw error;
    }
  }

  /** Return when all that was answered before is committed to the store, at all workers. */
  async barrier() {
    const { workers } = (await this.table()) ?? { workers: [{ router: null }] };
    await Promise.all(workers.map(({ router }) => this.#ask([Kind.BARRIER, 0, 0], router)));
  }

  /** Close all connections; calls that were not answered fail. */
  close() {
    this.#exchange.close();
  }

  // --- calls ---

  async #step(stream, x, options, decode) {
    const { ids, numbers, message } = observation(stream, x, options);
    return this.#streams(ids, message, {
      decode: (reply) => [decode(expect(reply, Kind.PREDICTION))], ...orderOf(numbers),
    });
  }

  async #steps(streams, X, options, decode) {
    const { ids, numbers, message } = observations(streams, X, options);
    if (ids.length === 0) return [];
    return this.#streams(ids, message, {
      decode: (reply, rows) => decode(expect(reply, Kind.PREDICTIONS), rows),
      isWhole: true, ...orderOf(numbers),
    });
  }

  async #stream(kind, stream, more = [], isRepeatable = false) {
    const id = toId(stream);
    return this.#streams([id], () => [kind, id, ...more], { isRepeatable });
  }

  /** Send a message about streams to whoever has them. */
  #streams(ids, message, { decode = valueOf, ...more } = {}) {
    return this.#exchange.submit(
      new Call({
        count: ids.length, lanesOf: ids.map((id) => this.#exchange.laneOf(id)),
        encode: (rows, wide) => encode(message(rows, wide)), decode, ...more,
      }),
    );
  }

  /** Ask a worker, any if none is named. */
  async #ask(message, router = null) {
    const frame = encode(message);
    return this.#exchange.submit(
      new Call({ count: 1, encode: () => frame, decode: valueOf, isRepeatable: true }), router,
    );
  }
}

/** Return the number that a log's offset has as a sequence number (docs/protocol.md#sparse-numbers). */
export function sparseSeq(number, generation = 0) {
  return SPARSE + (BigInt(generation) << 48n) + BigInt(number);
}

/** Read the keys of a client from the files that `streamlstm keys new` wrote. */
export function readKeys(key, server) {
  const own = readFileSync(key, "utf8");
  return {
    public: field(own, "public", key), secret: field(own, "secret", key),
    server: field(readFileSync(server, "utf8"), "public", server),
  };
}

function field(text, name, path) {
  const found = text.match(new RegExp(`^${name} = "(.{40})"$`, "m"));
  if (found === null) throw new InputError(`${path}: expected a key file with ${name} = "..."`);
  return found[1];
}

/** Say how observations with these numbers may follow each other. */
function orderOf(numbers) {
  const isNumbered = numbers.every((seq) => seq > 0);
  return { isDense: isNumbered && numbers.every((seq) => seq < SPARSE), isRepeatable: isNumbered };
}

function expect(reply, kind) {
  if (reply[0] === kind) return reply;
  throw new ProtocolError(`expected a reply of kind ${kind}, got one of kind ${reply[0]}`);
}

function valueOf(reply) {
  return [expect(reply, Kind.DONE)[3]];
}
