// One DEALER: a connection to a worker, and what is in flight on it.

import { setTimeout as sleep } from "node:timers/promises";
import { Dealer } from "zeromq";

const SHORTEST = 1, LONGEST = 50; // milliseconds between two attempts to send, while not connected
const DRAIN = 10; // milliseconds in which what came before a connection ended is read
const AT_ONCE = 500; // in flight: with so many no reply is ever dropped

/** Make the options of a socket from the keys of a client. */
export function security(keys) {
  if (keys === undefined) return {};
  return { curveServerKey: keys.server, curvePublicKey: keys.public, curveSecretKey: keys.secret };
}

/**
 * Sends requests one after another, since a socket of zeromq.js has one `send` at a time, and
 * hands over replies as they come.
 */
export class Link {
  #socket;
  #unsent = []; // requests that are not sent yet
  #inFlight = new Map(); // by number
  #number = 0;
  #isSending = false;
  #onReply;
  /** When something was heard, or began to be waited for, in milliseconds. */
  heard = 0;

  constructor(router, keys, onReply, onLost) {
    this.router = router;
    this.#onReply = onReply;
    // immediate: a message waits here, not in a queue from which it would still go after its time.
    this.#socket = new Dealer({
      immediate: true, linger: 0, sendTimeout: 0, ...(router.includes("[") && { ipv6: true }),
      ...security(keys),
    });
    try {
      this.#socket.connect(router);
    } catch (error) {
      this.#socket.close();
      throw error;
    }
    this.#socket.events.on("disconnect", () => {
      // No reply comes any more to what was sent before; ZeroMQ connects again, as another peer.
      const sent = this.#number;
      setTimeout(() => onLost(this.#sentBefore(sent)), DRAIN);
    });
    this.#receive();
  }

  /** Whether something is to be sent or to come. */
  get isBusy() {
    return this.#inFlight.size > 0 || this.#unsent.length > 0;
  }

  /** Send a request: anything with `frame()`, which returns its bytes. */
  send(request) {
    if (!this.isBusy) this.heard = performance.now();
    this.#unsent.push(request);
    if (!this.#isSending) this.#sendAll();
  }

  /** Forget a request; return whether it may have been sent. */
  withdraw(request) {
    const place = this.#unsent.indexOf(request);
    if (place >= 0) this.#unsent.splice(place, 1);
    return this.#inFlight.delete(request.flight);
  }

  /** Return all requests that are to be sent or are in flight. */
  requests() {
    return [...this.#inFlight.values(), ...this.#unsent];
  }

  close() {
    this.#unsent = [];
    this.#inFlight.clear();
    this.#socket.close();
  }

  async #sendAll() {
    this.#isSending = true;
    let pause = SHORTEST;
    while (this.#unsent.length > 0 && this.#inFlight.size < AT_ONCE && !this.#socket.closed) {
      const request = this.#unsent.shift();
      request.flight = this.#number++;
      // In flight before it is sent: the reply may be quicker than what follows `send`.
      this.#inFlight.set(request.flight, request);
      try {
        await this.#socket.send([String(request.flight), request.frame()]);
        pause = SHORTEST;
      } catch (error) {
        if (error.code !== "EAGAIN" || this.#socket.closed) break;
        if (this.#inFlight.delete(request.flight)) this.#unsent.unshift(request);
        await sleep(pause);
        pause = Math.min(2 * pause, LONGEST);
      }
    }
    this.#isSending = false;
  }

  async #receive() {
    for await (const [number, frame] of this.#socket) {
      this.heard = performance.now();
      const request = this.#take(Number(number.toString()));
      if (request !== undefined) this.#onReply(request, frame);
      if (!this.#isSending && this.#unsent.length > 0) this.#sendAll();
    }
  }

  #sentBefore(number) {
    return [...this.#inFlight.values()].filter((request) => request.flight < number);
  }

  #take(number) {
    const request = this.#inFlight.get(number);
    this.#inFlight.delete(number);
    return request;
  }
}
