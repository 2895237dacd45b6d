// What the client does with refusals, against a worker whose replies a test gives one by one.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, test } from "node:test";
import { pack, unpack } from "msgpackr";
import { Router } from "zeromq";
import * as streamlstm from "streamlstm";

const { BusyError, Client, DuplicateError, RemoteError } = streamlstm;
const TABLE = 16;

/** A ROUTER whose replies a test gives. */
class Worker {
  #queue = [];
  #waiting = [];

  async bind() {
    this.socket = new Router({ linger: 0 });
    await this.socket.bind("tcp://127.0.0.1:*");
    this.endpoint = this.socket.lastEndpoint;
    this.#receive(this.socket).catch(() => {}); // it was closed
    return this;
  }

  /** Close all connections, and be there again at the same address. */
  async rebind() {
    this.socket.close();
    this.socket = new Router({ linger: 0 });
    for (let isBound = false; !isBound; ) {
      isBound = await this.socket.bind(this.endpoint).then(() => true, () => false); // not free yet
    }
    this.#receive(this.socket).catch(() => {}); // it was closed
  }

  /** Return the next request: `message`, and the frames before it. */
  async request() {
    return this.#queue.shift() ?? new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Return the numbers of the requests that have come, once `request` has waited for the first. */
  rest() {
    return this.#queue.splice(0);
  }

  reply({ envelope }, ...message) {
    return this.socket.send([...envelope, pack(message)]);
  }

  accept(request, y = 0) {
    const [, stream, seq] = request.message;
    return this.reply(request, 129, stream, seq, Buffer.from(Float32Array.of(y).buffer));
  }

  refuse(request, code, ...more) {
    const [, stream, seq] = request.message;
    return this.reply(request, 255, [stream].flat()[0], [seq].flat()[0], code, "not now", ...more);
  }

  async #receive(socket) {
    for await (const frames of socket) {
      const request = { envelope: frames.slice(0, -1), message: unpack(frames.at(-1)) };
      if (request.message[0] === TABLE) await this.reply(request, 131, TABLE, null, null);
      else if (this.#waiting.length > 0) this.#waiting.shift()(request);
      else this.#queue.push(request);
    }
  }
}

let worker, other, client;

beforeEach(async () => {
  worker = await new Worker().bind();
  other = await new Worker().bind();
  client = new Client(worker.endpoint, { timeout: 20_000 });
});

afterEach(() => {
  client.close();
  worker.socket.close();
  other.socket.close();
});

/** Step a stream several times; return the promises. */
function steps(count, seqs) {
  return Array.from({ length: count }, (_, n) => client.step("a", [n], seqs && { seq: n + 1 }));
}

test("what was refused goes again in its order, alone until it is accepted", async () => {
  const calls = steps(3, true);
  const sent = [await worker.request(), await worker.request(), await worker.request()];
  await worker.refuse(sent[0], "busy", 5);
  await worker.refuse(sent[1], "gap", 0);
  await worker.refuse(sent[2], "gap", 0);
  const again = await worker.request();
  assert.equal(again.message[2], 1);
  const ping = client.ping(); // what is sent before has come before it
  const asked = await worker.request();
  await worker.reply(asked, 131, asked.message[0], null, asked.message[1]);
  await ping;
  assert.deepEqual(worker.rest(), []);
  await worker.accept(again, 1);
  for (const seq of [2, 3]) {
    const next = await worker.request();
    assert.equal(next.message[2], seq);
    await worker.accept(next, seq);
  }
  assert.deepEqual((await Promise.all(calls)).map(([y]) => y), [1, 2, 3]);
});

test("without numbers one observation of a stream is in flight", async () => {
  const calls = steps(3);
  for (let n = 0; n < 3; n++) {
    const [first, ...more] = [await worker.request(), ...worker.rest()];
    assert.deepEqual(more, []);
    await worker.refuse(first, "busy", 1);
    const again = await worker.request();
    assert.deepEqual(again.message, first.message);
    await worker.accept(again, n);
  }
  assert.deepEqual((await Promise.all(calls)).map(([y]) => y), [0, 1, 2]);
});

test("`moved` is followed if it is news, and waited for if nobody has the partition", async () => {
  const call = client.step("a", [1]);
  await worker.refuse(await worker.request(), "moved", 7, 0, null);
  await worker.refuse(await worker.request(), "moved", 7, 3, other.endpoint);
  await other.refuse(await other.request(), "moved", 7, 2, worker.endpoint); // it knows less
  await other.accept(await other.request(), 5);
  assert.equal((await call)[0], 5);
  assert.deepEqual(worker.rest(), []);
  const next = client.step("a", [2]);
  await other.accept(await other.request(), 6);
  assert.equal((await next)[0], 6);
});

test("a block of streams that several workers have is divided", async () => {
  const call = client.stepMany(["a", "b", "a"], [[1], [2], [3]], { seqs: [1, 1, 2] });
  const whole = await worker.request();
  assert.deepEqual(whole.message[1], ["a", "b", "a"]);
  await worker.refuse(whole, "moved", 7, 1, other.endpoint);
  const Y = (...values) => Buffer.from(Float32Array.from(values).buffer);
  const [there, here] = [await other.request(), await worker.request()];
  assert.deepEqual([there.message[1], here.message[1]], [["a", "a"], ["b"]]);
  await other.reply(there, 130, ["a", "a"], [1, 2], Y(1, 3));
  await worker.refuse(here, "bad-value");
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof RemoteError);
    assert.deepEqual(error.divided.applied, [true, false, true]);
    return error.divided.results[2][0] === 3;
  });
});

test("what a model with offsets refuses goes again in full precision", async () => {
  const calls = [client.step("a", [0.1, null]), client.step("b", Float32Array.of(1))];
  for (let n = 0; n < 2; n++) {
    const request = await worker.request();
    assert.ok(Buffer.isBuffer(request.message[3]));
    await worker.refuse(request, "precision");
  }
  const answers = { a: [0.1, null], b: [1] };
  for (let n = 0; n < 2; n++) {
    const request = await worker.request();
    assert.deepEqual(request.message[3], answers[request.message[1]]);
    await worker.reply(request, 129, request.message[1], 0, [1700000003.5, null]);
  }
  assert.deepEqual(await Promise.all(calls), Array(2).fill(Float64Array.of(1700000003.5, NaN)));
});

test("numbered observations go again when a connection is lost", async () => {
  const [first, second] = steps(2, true);
  const failed = assert.rejects(first, (error) => error instanceof DuplicateError && error.lastSeq === 2);
  await worker.request();
  await worker.request();
  await worker.rebind();
  // Both had been applied, and the replies were lost: the last one is answered as it was.
  await worker.refuse(await worker.request(), "duplicate", 2);
  await worker.refuse(await worker.request(), "duplicate", 2, Buffer.from(Float32Array.of(4).buffer));
  await failed;
  assert.equal((await second)[0], 4);
});

test("a refusal that lasts is what the call fails with", async () => {
  const hurried = new Client(worker.endpoint, { timeout: 1000 });
  const failed = assert.rejects(hurried.step("a", [1]), (error) =>
    error instanceof BusyError && error.retryAfter === 60_000 && error.text === "not now");
  await worker.refuse(await worker.request(), "busy", 60_000);
  await failed;
  hurried.close();
});

test("the types name all that there is", () => {
  const types = readFileSync(new URL("../src/index.d.ts", import.meta.url), "utf8");
  const named = [...types.matchAll(/^export (?:class|function) (\w+)/gm)].map(([, name]) => name);
  assert.deepEqual(named.sort(), Object.keys(streamlstm).sort());
});
