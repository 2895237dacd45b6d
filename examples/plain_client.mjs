// A client in JavaScript, with zeromq and msgpackr alone; docs/protocol.md is all that it needs.
//
//   npm install zeromq@6 msgpackr
//   streamlstm serve model.safetensors
//   node plain_client.mjs --router tcp://127.0.0.1:7450 --stream plain-1 --count 5
//
// Of a fleet it may ask any worker: it follows `moved` (class Worker).

import { parseArgs } from "node:util";
import { setTimeout as sleep } from "node:timers/promises";
import { Dealer } from "zeromq";
import { pack, unpack } from "msgpackr";

const STEP = 1, INFO = 6, ERROR = 255;

/** The worker that has a stream, and a connection to it. */
class Worker {
  epoch = 0;

  constructor(timeout) {
    this.timeout = timeout;
  }

  connect(router) {
    this.socket?.close();
    this.socket = new Dealer({ receiveTimeout: this.timeout, linger: 0 });
    this.socket.connect(router);
  }

  /**
   * Send requests of one stream, each with its number before it; return the replies.
   *
   * Those that are refused for now are sent again: in their order, and one by one, as of several
   * that are refused with `busy` a later one might be accepted first.
   */
  async ask(requests) {
    const replies = new Map();
    let left = requests.map((_, n) => n), atOnce = requests.length;
    while (left.length > 0) {
      const sent = left.slice(0, atOnce);
      let refusal;
      for (const n of sent) await this.socket.send([String(n), pack(requests[n])]);
      for (const _ of sent) {
        const [number, frame] = await this.socket.receive();
        const message = decode(frame);
        if (message[0] === ERROR) refusal ??= message;
        else replies.set(Number(number.toString()), message);
      }
      left = left.filter((n) => !replies.has(n));
      if (refusal) {
        atOnce = 1;
        await this.follow(refusal);
      }
    }
    return requests.map((_, n) => replies.get(n));
  }

  /** Find the worker that has the stream now (`moved`), or wait a moment (`busy`). */
  async follow([, , , code, , number, epoch, router]) {
    if (code === "moved" && router !== null && epoch > this.epoch) {
      this.epoch = epoch; // else nobody has it, or we know better
      this.connect(router);
    } else {
      await sleep(code === "busy" && number !== undefined ? number : 10);
    }
  }
}

/** Decode a reply; an ERROR ends the program, but for those that say: not here, or not now. */
function decode(frame) {
  const message = unpack(frame);
  if (message[0] === ERROR && !["moved", "busy"].includes(message[3])) {
    throw new Error(`${message[1]}: ${message[3]}: ${message[4]}`);
  }
  return message;
}

/** Encode numbers as little-endian float32. */
function floats(values) {
  const data = Buffer.alloc(4 * values.length);
  values.forEach((value, n) => data.writeFloatLE(value, 4 * n));
  return data;
}

/** Decode little-endian float32. */
function numbers(data) {
  return Array.from({ length: data.length / 4 }, (_, n) => data.readFloatLE(4 * n));
}

const { values: given } = parseArgs({
  options: {
    router: { type: "string", default: "tcp://127.0.0.1:7450" },
    stream: { type: "string", default: "plain-1" },
    count: { type: "string", default: "5" },
    timeout: { type: "string", default: "5" },
  },
});
const worker = new Worker(1000 * Number(given.timeout));
worker.connect(given.router);
try {
  const [info] = await worker.ask([[INFO]]);
  const features = info[3].model.inputs.length;
  const wave = (n) => Array.from({ length: features }, (_, feature) => Math.sin(0.3 * n + feature));
  const requests = Array.from({ length: Number(given.count) }, (_, n) => [
    STEP, given.stream, 0, floats(wave(n)),
  ]);
  for (const [n, [, stream, , y]] of (await worker.ask(requests)).entries()) {
    console.log(`${stream} ${n}:`, ...numbers(y).map((value) => value.toFixed(6)));
  }
} catch (error) {
  console.error(error.code === "EAGAIN" ? `no answer from ${given.router}` : error.message);
  process.exitCode = 1;
} finally {
  worker.socket.close();
}
