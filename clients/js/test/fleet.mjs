// Speaks to a real fleet while tests/process/test_javascript.py moves its partitions and kills a
// worker; prints what it was answered.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, Subscriber } from "streamlstm";

const [router] = process.argv.slice(2); // of one worker
const lines = createInterface({ input: process.stdin });
const client = new Client(router, { timeout: 30_000 });
const subscriber = new Subscriber({ router, streams: ["heard-"] });
const STREAMS = [...Array(60).keys(), ...Array.from({ length: 60 }, (_, n) => `pump-${n}`), 2n ** 63n];
const told = [];

function tell(stream, x, y) {
  told.push(JSON.stringify([String(stream), typeof stream === "string", x, [...y]]));
}

let said = null;
lines.on("line", (line) => (said = line));

/** Step all streams again and again, in each way, until the test says a word. */
async function until(word, ways) {
  for (; said !== word || round % ways.length; round++) {
    await ways[round % ways.length]();
    await sleep(20); // a load, and not all of the machine
  }
}

let round = 0, seq = 0;

async function together() {
  const X = STREAMS.map((_, n) => [n, (seq % 50) / 8]);
  seq += 1;
  const Y = await client.stepMany(STREAMS, X, { seqs: STREAMS.map(() => seq) });
  Y.forEach((y, n) => tell(STREAMS[n], X[n], y));
}

async function pipelined() {
  const calls = [];
  for (let n = 0; n < 5; n++) {
    seq += 1;
    for (const stream of STREAMS) calls.push([stream, [n, 1], client.step(stream, [n, 1], { seq })]);
  }
  for (const [stream, x, y] of calls) tell(stream, x, await y);
}

async function unnumbered() {
  const calls = [];
  for (let n = 0; n < 120; n++) {
    const stream = `order-${n % 12}`;
    calls.push([stream, [n, seq % 9], client.step(stream, [n, seq % 9])]);
  }
  for (const [stream, x, y] of calls) tell(stream, x, await y);
}

await until("moved", [together, pipelined, unnumbered]);
assert.ok((await client.table()).workers.length >= 2);
const last = await client.lastSeqs([...STREAMS, "unknown"]);
assert.deepEqual(last, [...STREAMS.map(() => seq), 0]);
const listed = new Map();
for await (const [stream, number] of client.listStreams("pump-")) listed.set(stream, number);
assert.deepEqual([...listed.values()], Array(60).fill(seq));

// Predictions of all workers are heard.
const heard = new Set();
const streams = Array.from({ length: 20 }, (_, n) => `heard-${n}`);
const listening = (async () => {
  for await (const { stream } of subscriber) if (heard.add(stream).size === streams.length) return;
})();
let isHeard = false;
listening.then(() => (isHeard = true));
while (!isHeard) await client.stepMany(streams, streams.map(() => [0, 0]));
subscriber.close();

// A worker is stopped, gets observations, and is killed: they are sent again to who has its streams.
await client.barrier();
console.log("stop");
while (said !== "stopped") await once(lines, "line");
const calls = pipelined();
await new Promise(setImmediate);
console.log("kill");
await calls;
await until("end", [together, pipelined]);
for (const line of told) console.log(line);
client.close();
lines.close();
