// Speaks to a worker with keys; prints what it was answered.

import assert from "node:assert/strict";
import { join } from "node:path";
import { Client, InputError, WorkerTimeoutError, readKeys } from "streamlstm";

const [router, folder] = process.argv.slice(2);
const server = join(folder, "worker.pub");
assert.throws(() => readKeys(server, server), InputError); // it has no secret

const client = new Client(router, { keys: readKeys(join(folder, "allowed.key"), server) });
console.log(JSON.stringify(["a", true, [1, 2], [...(await client.step("a", [1, 2]))]]));
client.close();

const stranger = new Client(router, { timeout: 500, keys: readKeys(join(folder, "stranger.key"), server) });
await assert.rejects(stranger.step("a", [1, 2]), (error) => error instanceof WorkerTimeoutError && !error.inDoubt);
stranger.close();
