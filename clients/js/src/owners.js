// Which worker has which partition, as far as `moved` and the table have told. No sockets.

const PARTITIONS = 1024;
const NOBODY = 65535;

/** What is known of a fleet, or of a single worker, which has everything. */
export class Owners {
  #seeds;
  #partitions = Array.from({ length: PARTITIONS }, () => ({ epoch: 0, router: null }));
  #turn = 0;
  /** The last table; null of a single worker, or while it is not known. */
  table = null;
  /** Whether it is a fleet. */
  isFleet = false;
  /** The worker that is asked if it is not known who has a stream. */
  any;

  constructor(seeds) {
    this.#seeds = seeds;
    this.any = seeds[0];
  }

  /** Return who has the stream of a lane; null if that is not known. */
  routerOf(lane) {
    if (!this.isFleet) return this.any;
    return (lane.partition === null ? null : this.#partitions[lane.partition].router) ?? lane.home;
  }

  /** Return whom to ask next for the table: others first, all in turn. */
  next(without) {
    const others = this.routers().filter((router) => !without.has(router));
    const found = others.length > 0 ? others : this.routers();
    return found[this.#turn++ % found.length];
  }

  /** Return all workers that are known, those of the table first. */
  routers() {
    const listed = this.table?.workers.map((worker) => worker.router) ?? [];
    const told = this.#partitions.map((known) => known.router).filter((router) => router !== null);
    return [...new Set([...listed, ...told, ...this.#seeds])];
  }

  /** Return whether a worker is one of the table, or there is none. */
  isListed(router) {
    return this.table === null || this.table.workers.some((worker) => worker.router === router);
  }

  /** Learn from a `moved` who has the stream of a lane; return whether that is new. */
  learn(lane, { partition, epoch, router }) {
    this.isFleet = true;
    const isNew = lane.partition === null;
    lane.partition = partition;
    const known = this.#partitions[partition];
    if (router !== null && (epoch > known.epoch || known.router === null)) {
      Object.assign(known, { epoch, router });
      return true;
    }
    return isNew && known.router !== null;
  }

  /** Learn a table, as far as it is not older than what is known of each partition. */
  follow(value) {
    if (value.owners?.length !== 2 * PARTITIONS || value.epochs?.length !== 4 * PARTITIONS) return;
    this.isFleet = true;
    const isOld = this.table !== null && value.version < this.table.version;
    if (isOld && value.workers.some((worker) => this.isListed(worker.router))) return;
    this.table = value;
    if (!this.isListed(this.any) && value.workers.length > 0) this.any = value.workers[0].router;
    for (const known of this.#partitions) {
      if (known.router !== null && !this.isListed(known.router)) {
        Object.assign(known, { epoch: 0, router: null }); // any epoch is news then
      }
    }
    this.#partitions.forEach((known, n) => {
      const owner = value.owners.readUInt16LE(2 * n);
      const epoch = value.epochs.readUInt32LE(4 * n);
      if (owner !== NOBODY && epoch >= known.epoch) {
        Object.assign(known, { epoch, router: value.workers[owner].router });
      }
    });
  }
}
