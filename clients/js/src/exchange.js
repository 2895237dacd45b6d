// Sends requests to a worker or a fleet: to whoever has the stream, again if it was refused for
// now, until it is answered or its time is over.

import { ClosedError, ProtocolError, RemoteError, WorkerTimeoutError } from "./errors.js";
import { Lanes } from "./lanes.js";
import { Link } from "./link.js";
import { Kind, decode, encode, errorOf } from "./messages.js";
import { toId } from "./numbers.js";
import { Owners } from "./owners.js";

const PAUSE = 10; // milliseconds until it is asked again who has a stream
const LOOK = 250; // milliseconds between two looks whether all workers answer
const STALLED = 1000; // milliseconds without an answer after which another worker is asked

/** The requests of a client. */
export class Exchange {
  #owners;
  #lanes;
  #links = new Map(); // by router
  #calls = new Set();
  #timers = new Set();
  #questions = new Map(); // for the table, by router
  #look = null;
  #busySince = null;
  #isWide = false; // the model needs full precision
  #options;
  #isClosed = false;

  constructor(routers, options) {
    this.#owners = new Owners(routers);
    this.#lanes = new Lanes(this.#owners);
    this.#options = options;
    this.#ask(this.#owners.any);
  }

  /** Return the lane of a stream. */
  laneOf(id) {
    return this.#lanes.of(id);
  }

  /** Carry out a call; with `router` at that worker. Return what it is answered. */
  submit(call, router = null) {
    if (this.#isClosed) throw new ClosedError("the client is closed; make another one");
    this.#calls.add(call);
    call.timer = setTimeout(() => this.#expire(call), this.#options.timeout);
    const forget = () => this.#calls.delete(call);
    call.promise.then(forget, forget);
    const request = call.first(router);
    if (this.#isWide) request.widen();
    if (request.lanes.length > 0) {
      this.#lanes.add(request);
      this.#pump();
    } else {
      this.#send(request, router ?? this.#owners.any);
    }
    this.#look ??= setInterval(() => this.#lookAround(), LOOK);
    return call.promise;
  }

  /** Close all connections; what was not answered fails. */
  close() {
    this.#isClosed = true;
    clearInterval(this.#look);
    for (const timer of this.#timers) clearTimeout(timer);
    for (const call of this.#calls) {
      for (const request of call.requests) {
        const isSent = this.#links.get(request.router)?.withdraw(request) ?? false;
        request.reject(new ClosedError("the client was closed", isSent || request.isDoubted));
      }
    }
    for (const link of this.#links.values()) link.close();
  }

  #pump() {
    for (const request of this.#lanes.ready()) this.#send(request, request.router);
  }

  #send(request, router) {
    request.router = router;
    request.call.refusal = null;
    this.#linkTo(router).send(request);
  }

  #linkTo(router) {
    let link = this.#links.get(router);
    if (link === undefined) {
      const recall = (request) => this.#recall(link, request);
      link = new Link(
        router, this.#options.keys, (request, frame) => this.#reply(request, frame),
        (lost) => {
          lost.forEach(recall);
          if (this.#owners.table !== null) this.#ask(this.#owners.next(new Set([router])));
          this.#pump();
        },
      );
      this.#links.set(router, link);
    }
    return link;
  }

  // --- replies ---

  #reply(request, frame) {
    const [message, results, error] = outcome(request, frame);
    if (request.isTable) this.#told(request, message);
    else if (results !== null) this.#done(request, () => request.take(results));
    else if (error instanceof RemoteError) this.#refused(request, error, message);
    else this.#done(request, () => request.reject(error));
    this.#pump();
  }

  #done(request, settle) {
    this.#lanes.leave(request, true);
    this.#busySince = null;
    settle();
  }

  #refused(request, error, message) {
    const { code } = error;
    if (code === "busy") {
      this.#busySince ??= performance.now();
      request.call.refusal = error;
      this.#again(request, error.retryAfter ?? PAUSE);
    } else if (code === "moved" && request.lanes.length > 0) {
      const isNews = this.#owners.learn(this.#lanes.of(toId(error.stream)), error);
      if (isNews && !this.#owners.isListed(error.router)) this.#ask(error.router); // who else there is
      request.call.refusal = error;
      this.#again(request, isNews ? 0 : PAUSE);
    } else if (code === "precision" && !request.isWide) {
      this.#isWide = true;
      request.widen();
      this.#again(request, 0);
    } else if (code === "gap" && this.#lanes.hasEarlier(request)) {
      this.#again(request, 0); // one before it was refused
    } else if (code === "duplicate" && request.isDoubted && error.observed && !request.call.isWhole) {
      const [, stream, seq, , , , y, extra] = message; // what it was answered, sent once more
      const results = request.decode([Kind.PREDICTION, stream, seq, y, extra]);
      this.#done(request, () => request.take(results));
    } else {
      this.#done(request, () => request.reject(error));
    }
  }

  #again(request, pause) {
    if (request.lanes.length === 0) {
      this.#after(pause, () => request.call.requests.has(request) && this.#send(request, request.router));
      return;
    }
    this.#lanes.again(request);
    if (pause > 0) this.#rest(request.lanes, pause);
  }

  #rest(lanes, pause) {
    this.#lanes.rest(lanes);
    this.#after(pause, () => {
      this.#lanes.wake(lanes);
      this.#pump();
    });
  }

  #after(pause, act) {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, pause);
    this.#timers.add(timer);
  }

  // --- what does not go on ---

  #expire(call) {
    for (const request of [...call.requests]) {
      const router = request.router ?? this.#owners.any;
      if (request.router === null) {
        this.#lanes.withdraw(request);
        request.expire(router, this.#options.timeout / 1000, false);
      } else {
        const isSent = this.#links.get(router)?.withdraw(request) ?? false;
        this.#lanes.leave(request, false);
        request.expire(router, this.#options.timeout / 1000, isSent);
      }
    }
    this.#pump();
  }

  /** Ask another worker for the table if one is silent, or busy for long. */
  #lookAround() {
    const now = performance.now();
    const silent = [...this.#links.values()].filter(
      (link) => link.isBusy && now - link.heard > STALLED,
    );
    const isBusy = this.#busySince !== null && now - this.#busySince > STALLED;
    if (silent.length > 0 || isBusy) {
      this.#ask(this.#owners.next(new Set(silent.map((link) => link.router))));
    }
    if (this.#calls.size === 0) {
      clearInterval(this.#look);
      this.#look = null;
    }
  }

  #ask(router) {
    const link = this.#linkTo(router);
    const before = this.#questions.get(router);
    if (before !== undefined) {
      if (performance.now() - before.since < STALLED) return;
      link.withdraw(before);
    }
    const question = new Question(router);
    this.#questions.set(router, question);
    link.send(question);
  }

  #told(question, [kind, , , value]) {
    this.#questions.delete(question.router);
    // Else another is asked, or it belongs to no fleet, or was made before there were any.
    if (kind !== Kind.DONE || value === null) return;
    this.#owners.follow(value);
    const isListed = (router) => this.#owners.isListed(router);
    this.#lanes.lost(isListed);
    for (const each of [...this.#links.values()]) {
      if (each.isBusy && performance.now() - each.heard > STALLED) this.#recallAll(each);
      if (!isListed(each.router) && !each.isBusy) this.#leave(each);
    }
  }

  #leave(link) {
    link.close();
    this.#links.delete(link.router);
  }

  /** Take back what a silent worker has, where others have the streams now. */
  #recallAll(link) {
    const isListed = this.#owners.isListed(link.router);
    for (const request of link.requests()) {
      const stays = request.lanes.some((lane) => this.#owners.routerOf(lane) === link.router);
      if (!stays && (request.lanes.length > 0 || !isListed)) this.#recall(link, request);
    }
  }

  /** Take back a request that no answer comes to: it is sent again if that does no harm. */
  #recall(link, request) {
    const isSent = link.withdraw(request);
    if (request.isTable) return void this.#questions.delete(link.router);
    request.isDoubted ||= isSent;
    if (request.isDoubted && !request.call.isRepeatable) {
      this.#lanes.leave(request, false);
      request.reject(connectionLost(link.router));
    } else if (request.lanes.length > 0) {
      this.#lanes.again(request);
    } else {
      this.#send(request, this.#owners.any);
    }
  }
}

function connectionLost(router) {
  const text = `${router}: the connection was lost before the reply came; it may have been applied`;
  return new WorkerTimeoutError(text, true);
}

/** A question for the table. */
class Question {
  isTable = true;
  lanes = [];
  since = performance.now();

  constructor(router) {
    this.router = router;
  }

  frame() {
    return encode([Kind.TABLE]);
  }

  decode() {
    return null;
  }
}

/** Return the message, the results of its rows, and the error that it is. */
function outcome(request, frame) {
  try {
    const message = decode(frame);
    return message[0] === Kind.ERROR
      ? [message, null, errorOf(message)]
      : [message, request.decode(message), null];
  } catch (error) {
    const text = `expected a reply of the protocol, version 1 (${error.message})`;
    return [[], null, error instanceof ProtocolError ? error : new ProtocolError(text)];
  }
}
