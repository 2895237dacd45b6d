"""A publisher that replays, until it is killed or gets SIGTERM; it tells on stdout what happens.

    python -m benchmarks.live.source ENDPOINT JOURNAL STREAMS SEED

Every observation follows from its stream, its number and the seed, so that it needs no memory of
its own. Some streams are fed by a publisher that hears no predictions, and therefore has many of
their observations under way; some observations have an event time.

What it tells are records of one size, each with its stream and number: TAKEN when ``send`` has
returned, DELIVERED with the prediction, ENDED with the last number of a stream when all is
confirmed, REPLAYED with how many observations were sent again so far. A record is written in one
piece to a pipe, so that SIGKILL leaves whole records.
"""

import os
import signal
import sys
from typing import Any

import numpy as np

from streamlstm import LSTM, Dense, Model, ReplayingPublisher, wire
from streamlstm.network.layers import Layer

F, H, O = 3, 12, 2
TAKEN, DELIVERED, ENDED, REPLAYED = range(4)
RECORD = np.dtype([("kind", "<u4"), ("stream", "<u4"), ("seq", "<u4"), ("y", "<f4", (O,))])
BLOCK = 128  # streams of a call: their records fit into one piece of a pipe
NEW = 40  # streams that begin in each pass
UNHEARD, TIMED = 4, 50  # every so many streams are fed without predictions, or with times
PATIENCE = 60.0  # seconds


def model() -> Model:
    """Return the network that is served: two cells and a head, so that a state has many parts."""
    rng = np.random.default_rng(H)
    layers: list[Layer] = [LSTM(F, H), LSTM(H, H), Dense(H, O)]
    weights = [
        {n: rng.uniform(-1, 1, s) / H**0.5 for n, s in layer.parameters().items()}
        for layer in layers
    ]
    return Model(layers, weights)


def name(n: int) -> wire.StreamId:
    """Return the id of stream ``n``; every other one is an integer."""
    return f"pump-{n}" if n % 2 else n


def is_heard(n: Any) -> Any:
    """Tell whether the predictions of stream ``n`` are listened to."""
    return n % UNHEARD != UNHEARD - 1


def event_time(seq: int) -> float:
    """Return the event time of an observation, of streams whose observations have one."""
    return 1e9 + seq / 7


def observations(seed: int, streams: Any, seqs: Any) -> Any:
    """Return float32[B, F] from -1 to 1: the observations of streams int[B] with numbers int[B]."""
    z = np.arange(1, F + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = z + np.asarray(streams, np.uint64)[:, None] * np.uint64(0xD1B54A32D192ED03)
    z = z + np.asarray(seqs, np.uint64)[:, None] * np.uint64(0x8CB92BA72F3D8DD7)
    z = z + np.full(F, seed, np.uint64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)  # splitmix64
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z >> np.uint64(40)).astype(np.float32) / 2**23 - 1).astype(np.float32)


def tell(kind: int, streams: Any, seqs: Any, y: Any = 0.0) -> None:
    """Write records to stdout."""
    records = np.zeros(len(streams), RECORD)
    records["kind"], records["stream"], records["seq"], records["y"] = kind, streams, seqs, y
    data = records.tobytes()
    if os.write(sys.stdout.fileno(), data) != len(data):
        raise SystemExit("a record was not written in one piece")


class Feeder:
    """Sends one observation of each of some streams at a time.

    Parameters
    ----------
    publisher : ReplayingPublisher
    streams : int[N]
        Numbers of the streams that it may feed, all new ones behind the old ones.
    seed : int
    """

    def __init__(self, publisher: ReplayingPublisher, streams: Any, seed: int) -> None:
        self.publisher = publisher
        self._streams, self._seed = streams, seed
        self._last = np.zeros(len(streams), np.int64)
        self._begun = 0
        self._random = np.random.default_rng()

    def begin(self) -> None:
        """Let some more streams begin: as many as have after as many passes."""
        first = self.publisher.last_seq(name(int(self._streams[0])))
        begin = min(len(self._streams), NEW * (first + 1))
        for n in range(self._begun, begin):
            self._last[n] = self.publisher.last_seq(name(int(self._streams[n])))
        self._begun = begin

    def blocks(self) -> Any:
        """Return the streams that have begun in blocks, in any order."""
        order = self._random.permutation(self._begun)
        return [order[at : at + BLOCK] for at in range(0, self._begun, BLOCK)]

    def send(self, block: Any) -> None:
        """Send the next observation of some streams, and tell that they are taken."""
        streams, seqs = self._streams[block], self._last[block] + 1
        X = observations(self._seed, streams, seqs)
        timed = streams % TIMED == 0
        names = [name(int(n)) for n in streams]
        given = self.publisher.send_many([names[k] for k in np.flatnonzero(~timed)], X[~timed])
        for k in np.flatnonzero(timed):
            moment = event_time(int(seqs[k]))
            given.append(self.publisher.send(names[k], X[k], time=moment))
        if given != [*seqs[~timed].tolist(), *seqs[timed].tolist()]:
            raise SystemExit(f"expected the numbers {seqs.tolist()}, got {given}")
        self._last[block] = seqs
        tell(TAKEN, streams, seqs)

    def end(self) -> None:
        """Wait until all is confirmed, and tell where the streams stand."""
        self.begin()  # the end may come before the first pass
        self.publisher.flush(PATIENCE)
        for at in range(0, self._begun, BLOCK):
            part = slice(at, min(at + BLOCK, self._begun))
            tell(ENDED, self._streams[part], self._last[part])


def publish(feeders: list[Feeder], stopping: list[int]) -> None:
    """Send an observation of every stream, again and again, until a signal has come."""
    replayed = 0
    while not stopping:
        for feeder in feeders:
            feeder.begin()
            for block in feeder.blocks():
                feeder.send(block)
                if stopping:
                    break
        if (now := sum(feeder.publisher.replayed for feeder in feeders)) > replayed:
            replayed = now
            tell(REPLAYED, [0], [replayed])
    for feeder in feeders:
        feeder.end()
    tell(REPLAYED, [0], [sum(feeder.publisher.replayed for feeder in feeders)])


def main() -> None:
    """Publish as the command line says."""
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    endpoint, journal, count, seed = sys.argv[1:]
    streams = np.arange(int(count))
    numbers = {name(n): n for n in range(int(count))}

    def deliver(stream: wire.StreamId, seq: int, y: Any) -> None:
        tell(DELIVERED, [numbers[stream]], [seq], y)

    options: dict[str, Any] = {"max_rows": 2 * int(count), "timeout": PATIENCE, "linger": PATIENCE}
    with (
        ReplayingPublisher(endpoint, on_prediction=deliver, journal=journal, **options) as heard,
        ReplayingPublisher(endpoint, journal=f"{journal}-unheard", **options) as unheard,
    ):
        feeders = [
            Feeder(publisher, some, int(seed))
            for publisher, some in (
                (heard, streams[is_heard(streams)]),
                (unheard, streams[~is_heard(streams)]),
            )
            if len(some)
        ]
        publish(feeders, stopping)


if __name__ == "__main__":
    main()
