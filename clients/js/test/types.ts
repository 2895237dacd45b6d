// Compiled, not run: what a program in TypeScript may write.

import { Client, DuplicateError, Publisher, RemoteError, Subscriber, readKeys, sparseSeq } from "streamlstm";
import type { Prediction, StreamId, Values } from "streamlstm";

const client = new Client(["tcp://127.0.0.1:7450"], { timeout: 1000, keys: readKeys("a.key", "b.pub") });
const y: Values = await client.step("pump-7", [1, null], { seq: sparseSeq(7), time: 1.5 });
const seen: Prediction = await client.observe(2n ** 63n, Float32Array.of(1, 2));
const bounds: number | undefined = seen.intervals?.[0]?.low[0] ?? seen.low?.[0];
const Y: Values[] = await client.stepMany(["a", 7], [[1], [2]], { seqs: [1, 2n], times: [null, 1] });
for await (const [stream, last] of client.listStreams("pump-")) console.log(stream satisfies StreamId, last);
try {
  await client.importStream("a", await client.exportStream("b"));
} catch (error) {
  if (error instanceof DuplicateError) console.log(error.lastSeq, error.observed?.y[0], error.divided?.applied[0]);
  if (error instanceof RemoteError) console.log(error.code, error.text);
}
const publisher = new Publisher();
await publisher.sendMany(["a"], [[1]]);
await publisher.close();
for await (const { stream, y, alarm } of new Subscriber({ alarms: true })) console.log(stream, y, alarm);
const event = await new Subscriber({ router: "tcp://127.0.0.1:7450", events: true }).receive();
if (event.event === "evicted") console.log(event.kept);
console.log(y, Y, bounds);

// @ts-expect-error: a list of numbers is expected
client.step("pump-7", "21.5");
// @ts-expect-error: there is no such option
client.step("pump-7", [21.5], { number: 5 });
// @ts-expect-error: it receives predictions only
(await new Subscriber().receive()).kept;
