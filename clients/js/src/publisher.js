// Publisher: sends observations to a worker without replies.

import { Push } from "zeromq";
import { ClosedError, WorkerTimeoutError } from "./errors.js";
import { security } from "./link.js";
import { encode } from "./messages.js";
import { observation, observations } from "./observation.js";

export const PULL = "tcp://127.0.0.1:7451";

/** Sends observations to the PULL of a worker or of a gateway. */
export class Publisher {
  #socket;
  #last = Promise.resolve(); // a socket of zeromq.js has one `send` at a time
  #timeout;

  constructor(pull = PULL, { timeout = 10_000, linger = 1000, keys } = {}) {
    this.pull = pull;
    this.#timeout = timeout;
    // immediate: nothing is taken for a worker that is not there.
    this.#socket = new Push({
      immediate: true, sendTimeout: timeout, linger, ipv6: pull.includes("["), ...security(keys),
    });
    this.#socket.connect(pull);
  }

  /** Send one observation; return when ZeroMQ has taken it. */
  async send(stream, x, options) {
    await this.#send(observation(stream, x, options), [0]);
  }

  /** Send observations of many streams in one message; return when ZeroMQ has taken it. */
  async sendMany(streams, X, options) {
    const made = observations(streams, X, options);
    if (made.ids.length > 0) await this.#send(made, [...made.ids.keys()]);
  }

  /** Send what waits, and close the connection. */
  async close() {
    await this.#last;
    this.#socket.close();
  }

  #send({ message }, rows) {
    const frame = encode(message(rows, false));
    const sent = this.#last.then(() => this.#attempt(frame));
    this.#last = sent.catch(() => {});
    return sent;
  }

  async #attempt(frame) {
    if (this.#socket.closed) throw new ClosedError("the publisher is closed; make another one");
    try {
      await this.#socket.send(frame);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
      throw new WorkerTimeoutError(
        `${this.pull}: no worker took the message within ${this.#timeout / 1000} s; it was not sent. ` +
          "Check that a worker runs there, and that it keeps up",
      );
    }
  }
}
