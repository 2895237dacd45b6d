// Which request may be sent when, so that those of a stream are applied in their order although
// partitions move and workers are busy. No sockets, no clock.
//
// What has dense numbers is pipelined: a worker refuses with `gap` what would overtake. Of
// everything else of a stream one request is in flight at a time. After a refusal nothing of the
// stream is sent until all of it has come back; then one by one, until one is accepted.

/** A stream: what is known of where it is, and its requests. */
class Lane {
  partition = null;
  home = null; // who has answered, while the partition is not known
  at = null; // where those in flight are
  waiting = []; // by their numbers
  inFlight = 0;
  resting = 0; // refusals after which it is not yet time to send again
  isCautious = false; // one by one
  isDense = true; // what is in flight

  constructor(id) {
    this.id = id;
  }

  /** Return whether a request may be sent to a worker as far as this stream is concerned. */
  admits(request, router) {
    if (this.waiting[0] !== request || this.resting > 0) return false;
    if (this.inFlight === 0) return true;
    return request.isDense && this.isDense && !this.isCautious && this.at === router;
  }
}

/** The lanes of all streams that have requests or whose partition is known. */
export class Lanes {
  #owners;
  #lanes = new Map();
  #number = 0;
  #stirred = new Set();

  constructor(owners) {
    this.#owners = owners;
  }

  /** Return the lane of a stream. */
  of(id) {
    let lane = this.#lanes.get(id);
    if (lane === undefined) this.#lanes.set(id, (lane = new Lane(id)));
    return lane;
  }

  /** Take a new request. */
  add(request) {
    request.number = this.#number++;
    this.#wait(request);
  }

  /** Take requests out that may be sent now, each with its `router`, in their order. */
  ready() {
    const found = [];
    for (const lane of this.#stirred) {
      this.#stirred.delete(lane);
      while (lane.waiting.length > 0 && this.#take(lane.waiting[0], found));
    }
    return found.sort((a, b) => a.number - b.number);
  }

  /** Note that no answer to a request comes any more, or that it was the last. */
  leave(request, isAccepted) {
    for (const lane of request.lanes) {
      lane.inFlight -= 1;
      if (isAccepted) lane.home = request.router;
      if (isAccepted) lane.isCautious = false;
      this.#stir(lane);
    }
    request.router = null;
  }

  /** Note that a request was refused for now: it is sent again, in its place. */
  again(request) {
    for (const lane of request.lanes) lane.isCautious = true;
    this.#wait(request);
    this.leave(request, false);
  }

  /** Take a request out that waits: it is not sent any more. */
  withdraw(request) {
    for (const lane of request.lanes) {
      lane.waiting.splice(lane.waiting.indexOf(request), 1);
      this.#stir(lane);
    }
  }

  /** Return whether a request waits that is to be applied before one that was sent. */
  hasEarlier(request) {
    return request.lanes.some((lane) => lane.waiting[0]?.number < request.number);
  }

  /** Send nothing of some lanes until `wake`. */
  rest(lanes) {
    for (const lane of lanes) lane.resting += 1;
  }

  /** End a rest. */
  wake(lanes) {
    for (const lane of lanes) {
      lane.resting -= 1;
      this.#stir(lane);
    }
  }

  /** Forget where streams are that a worker had which has left. */
  lost(isListed) {
    for (const lane of this.#lanes.values()) {
      if (lane.home !== null && !isListed(lane.home)) lane.home = null;
      this.#stir(lane);
    }
  }

  #take(request, found) {
    const groups = this.#groups(request.lanes);
    if (groups.length > 1) {
      const mine = request.lanes.every((lane) => lane.waiting[0] === request);
      if (mine) this.#divide(request, groups);
      return mine;
    }
    const router = this.#owners.routerOf(request.lanes[0]) ?? this.#owners.any;
    if (!request.lanes.every((lane) => lane.admits(request, router))) return false;
    for (const lane of request.lanes) {
      lane.waiting.shift();
      lane.inFlight += 1;
      lane.at = router;
      lane.isDense = request.isDense;
      this.#stir(lane);
    }
    request.router = router;
    found.push(request);
    return true;
  }

  /** Return lanes by the worker that has them; those that nobody is known to have, one by one. */
  #groups(lanes) {
    if (lanes.length === 1 || !this.#owners.isFleet) return [lanes];
    const groups = new Map();
    for (const lane of lanes) {
      const key = this.#owners.routerOf(lane) ?? lane;
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(lane);
    }
    return [...groups.values()];
  }

  #divide(request, groups) {
    this.withdraw(request);
    for (const part of request.divide(groups)) this.#wait(part);
  }

  #wait(request) {
    for (const lane of request.lanes) {
      let place = lane.waiting.length;
      while (place > 0 && lane.waiting[place - 1].number > request.number) place -= 1;
      lane.waiting.splice(place, 0, request);
      this.#stir(lane);
    }
  }

  #stir(lane) {
    const isIdle = lane.waiting.length === 0 && lane.inFlight === 0;
    if (!isIdle) this.#stirred.add(lane);
    else if (lane.partition === null && !this.#owners.isFleet && lane.resting === 0) {
      this.#lanes.delete(lane.id); // of a single worker nothing is to be remembered
    }
  }
}
