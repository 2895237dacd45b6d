// Speaks to a real worker as tests/process/test_javascript.py asks; prints what it was answered.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import {
  Client, ClosedError, DuplicateError, GapError, InputError, Publisher, RemoteError, Subscriber,
  WorkerTimeoutError, sparseSeq,
} from "streamlstm";

const where = JSON.parse(readFileSync(process.argv[2]));
const lines = createInterface({ input: process.stdin });
const client = new Client(where.router, { timeout: 20_000 });
const BIG = 2n ** 64n - 1n, MIDDLE = 2 ** 40;

/** Print an observation and what it was answered: a prediction, or all that `observe` says. */
function tell(stream, x, seen) {
  const plain = (key, value) => {
    if (ArrayBuffer.isView(value)) return [...value];
    if (typeof value === "bigint") return String(value);
    return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
  };
  console.log(JSON.stringify([String(stream), typeof stream === "string", x, seen], plain));
}

/** Return whether something has come in the time of a ping. */
function hasCome(promise) {
  return Promise.race([promise.then(() => true), client.ping().then(() => false)]);
}

async function observations() {
  for (const stream of ["text", "7", 7, MIDDLE, BIG, 2n ** 63n]) {
    const x = [Math.fround(0.1), 0.25], seq = stream === BIG ? sparseSeq(2 ** 40, 3) : 1;
    tell(stream, x, await client.step(stream, x, { seq, time: 1.7e9 }));
  }
  const streams = Array.from({ length: 300 }, (_, n) => (n % 2 ? `many-${n}` : BigInt(n) + 2n ** 53n));
  const X = streams.map((_, n) => Float32Array.of(n / 7, -n));
  (await client.stepMany(streams, X, { times: streams.map(() => null) })).forEach((y, n) => tell(streams[n], X[n], y));
  assert.deepEqual(await client.stepMany([], []), []);
  const x = [2 ** 21, 1]; // of full precision, which a float32 would hold
  tell("text", x, await client.step("text", x));
}

/** Feed two streams with a signal that has gaps and spikes, and hear the alarms of one. */
async function howSure() {
  const alarms = new Subscriber({ xpub: where.xpub, streams: ["sure-1"], alarms: true });
  const first = alarms.receive();
  let seq = 0, wasHeard = false;
  for (; seq < 300 || !wasHeard; wasHeard ||= await hasCome(first)) {
    seq += 1;
    const spike = seq > 300 && seq % 40 === 0 ? 30 : 0;
    const noise = ((seq * 7919) % 101) / 500;
    const x = [Math.sin(seq / 9) + noise + spike, seq % 90 < 3 ? null : Math.cos(seq / 5)];
    tell("sure-1", x, await client.observe("sure-1", x, { seq }));
    const pair = [x, [x[0] / 2, 1]];
    const seen = await client.observeMany(["sure-2", 3], pair);
    tell("sure-2", pair[0], seen[0]);
    tell(3, pair[1], seen[1]);
  }
  const { stream, alarm, kind } = await first;
  assert.deepEqual([stream, alarm, kind], ["sure-1", true, "spike"]);
  alarms.close();
}

async function pipelines() {
  const numbered = [], unnumbered = [], blocks = [], x = Float32Array.of(0, 1);
  for (let n = 0; n < 1500; n++) {
    x[0] = n; // what waits is what it was
    numbered.push(client.step("numbered", x, { seq: n + 1 }));
    unnumbered.push(client.step(`unnumbered-${n % 3}`, [n, 2]));
    if (n < 20) blocks.push(client.stepMany(["block-1", "block-2"], [x, [n, 1]]));
  }
  (await Promise.all(blocks)).flat().forEach((y, n) => tell(`block-${1 + (n % 2)}`, [n >> 1, 1], y));
  (await Promise.all(numbered)).forEach((y, n) => tell("numbered", [n, 1], y));
  (await Promise.all(unnumbered)).forEach((y, n) => tell(`unnumbered-${n % 3}`, [n, 2], y));
}

async function refusals() {
  const step = client.step.bind(client);
  await assert.rejects(step("text", [1, 2], { seq: 9 }), (error) =>
    error instanceof GapError && error.code === "gap" && error.lastSeq === 1 && error.stream === "text" && error.seq === 9);
  const last = await client.step("again", [1, 2], { seq: 1 });
  tell("again", [1, 2], last);
  await assert.rejects(step("again", [1, 2], { seq: 1 }), (error) =>
    error instanceof DuplicateError && assert.deepEqual(error.observed.y, last) === undefined);
  await assert.rejects(step("text", [1]), (error) =>
    error instanceof RemoteError && error.code === "bad-shape" && error.text.includes("2 features"));
  await assert.rejects(client.stepMany(["again", "other"], [[1, 2], [3]]), { code: "bad-shape" });
  await assert.rejects(client.reset("nobody"), { code: "unknown-stream", name: "RemoteError" });
  await assert.rejects(client.learn("text", 1, [1, 2]), { name: "RemoteError" });
  for (const stream of ["", "\0", "x".repeat(256), "\ud800", -1, 0.5, 2 ** 53, 2n ** 64n, null]) {
    await assert.rejects(step(stream, [1, 2]), InputError);
  }
  for (const x of ["12", [1, "2"], [1, undefined], 5, null]) await assert.rejects(step("text", x), InputError);
  await assert.rejects(client.stepMany(["a", "b"], [[1, 2]]), InputError);
  await assert.rejects(step("text", [1, 2], { time: NaN }), InputError);
}

async function otherRequests() {
  const { model, protocol } = await client.info();
  assert.equal(protocol, 1);
  assert.equal(model.inputs.length, 2);
  assert.ok((await client.ping()) > 0);
  assert.equal(await client.table(), null);
  await client.barrier();
  assert.deepEqual(await client.lastSeqs(["text", BIG, "none", "again"]), [1, sparseSeq(2 ** 40, 3), 0, 1]);
  const listed = [];
  for await (const each of client.listStreams()) listed.push(each);
  assert.ok(listed.some(([stream, last]) => stream === BIG && last === sparseSeq(2 ** 40, 3)));
  assert.ok(listed.some(([stream]) => stream === MIDDLE) && listed.some(([stream]) => stream === 7));
  const found = [];
  for await (const [stream] of client.listStreams("many-")) found.push(stream);
  assert.equal(found.length, 150);
  const state = await client.exportStream("again");
  await client.importStream("copy", new Uint8Array(state));
  assert.deepEqual(await client.lastSeqs(["copy"]), [1]);
  await client.reset("copy");
  await client.forget("copy");
  assert.deepEqual(await client.lastSeqs(["copy"]), [0]);
}

/** Hear what a publisher sends, everything and the values of one stream. */
async function publications() {
  const heard = new Subscriber({ xpub: where.xpub, streams: ["pub-", MIDDLE], events: true, timeout: 20_000 });
  const values = new Subscriber({ xpub: where.xpub, streams: [BIG], values: true });
  for (const [subscriber, stream] of [[heard, "pub-warm"], [values, BIG]]) {
    const first = subscriber.receive(); // ZeroMQ does not tell when a subscription has arrived
    do tell(stream, [0, 0], await client.step(stream, [0, 0]));
    while (!(await hasCome(first)));
  }
  const publisher = new Publisher(where.pull);
  const sent = [];
  for (let n = 0; n < 50; n++) {
    sent.push(publisher.send("pub-a", [n, 0], { seq: n + 1 }));
    sent.push(publisher.sendMany(["pub-b", BIG], [[n, 1], [n, 2]], { times: [null, n] }));
  }
  await Promise.all(sent);
  const events = { "pub-a": [], "pub-b": [] };
  while (events["pub-a"].length < 50 || events["pub-b"].length < 50) {
    const event = await heard.receive();
    assert.equal(event.event, "prediction");
    events[event.stream]?.push(event);
  }
  assert.deepEqual(events["pub-a"].map((event) => event.seq), Array.from({ length: 50 }, (_, n) => n + 1));
  events["pub-a"].forEach((event, n) => tell("pub-a", [n, 0], event));
  events["pub-b"].forEach((event, n) => tell("pub-b", [n, 1], event));
  let n = 0;
  for await (const event of values) {
    const { stream, x, time } = event;
    assert.equal(stream, BIG);
    if (time === null) continue; // to find out whether it listens
    assert.deepEqual([[...x], time], [[n, 2], n]);
    tell(stream, x, event);
    if (++n === 50) break;
  }
  await client.reset("pub-a");
  let event;
  while ((event = await heard.receive()).event === "prediction");
  assert.deepEqual(event, { event: "reset", stream: "pub-a" });
  const waiting = heard.receive();
  heard.close();
  values.close();
  await assert.rejects(waiting, ClosedError);
  await publisher.close();
  await assert.rejects(publisher.send("pub-a", [0, 0]), ClosedError);
}

/** Wait in vain; then for a worker that was stopped, killed and started again. */
async function anotherLife() {
  const lone = new Client("tcp://127.0.0.1:9", { timeout: 100 });
  await assert.rejects(lone.step("a", [1, 2]), (error) => error instanceof WorkerTimeoutError && !error.inDoubt);
  lone.close();
  tell("lived", [1, 1], await client.step("lived", [1, 1], { seq: 1 }));
  await client.barrier();
  console.log("readme"); // the test runs it
  await once(lines, "line");
  console.log("stop");
  await once(lines, "line");
  const numbered = client.step("lived", [2, 2], { seq: 2 });
  const unnumbered = client.step("doubted", [1, 1]);
  await new Promise(setImmediate); // they are sent
  console.log("kill");
  await assert.rejects(unnumbered, (error) => error instanceof WorkerTimeoutError && error.inDoubt);
  tell("lived", [2, 2], await numbered);
}

async function end() {
  for (const router of ["7450", "tcp://127.0.0.1:x", 7450, []]) assert.throws(() => new Client(router), InputError);
  const waiting = new Client("tcp://127.0.0.1:9");
  const refused = assert.rejects(waiting.step("a", [1, 2]), ClosedError);
  waiting.close();
  await refused;
  await assert.rejects(waiting.step("a", [1, 2]), ClosedError);
  client.close();
  lines.close();
}

const PARTS = [
  observations, howSure, pipelines, refusals, otherRequests, publications, anotherLife, end,
];
for (const part of PARTS) await part();
