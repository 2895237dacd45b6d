"""A publisher that replays, until it is killed or gets SIGTERM; it tells on stdout what happens.

    python -m benchmarks.live.source ENDPOINT JOURNAL STREAMS SEED

Every observation follows from its stream, its number and the seed, so that it needs no memory of
its own. What it tells are records of one size, each with its stream and number: TAKEN when ``send``
has returned, DELIVERED with the prediction, ENDED with the last number of a stream when all is
confirmed, REPLAYED with how many observations were sent again so far. A record is written in one
piece to a pipe, so that SIGKILL leaves whole records.
"""

import os
import signal
import sys
from typing import Any

import numpy as np

from streamlstm import LSTM, Dense, Model, ReplayingPublisher, wire
from streamlstm.layers import Layer

F, H, O = 3, 12, 2
TAKEN, DELIVERED, ENDED, REPLAYED = range(4)
RECORD = np.dtype([("kind", "<u4"), ("stream", "<u4"), ("seq", "<u4"), ("y", "<f4", (O,))])
BLOCK = 128  # streams of a call: their records fit into one piece of a pipe
NEW = 40  # streams that begin in each pass
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


def publish(publisher: ReplayingPublisher, count: int, seed: int) -> None:
    """Send an observation of every stream, again and again, until SIGTERM."""
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    random = np.random.default_rng()
    last = np.zeros(count, np.int64)
    begun, replayed = 0, 0
    while not stopping:
        first = publisher.last_seq(name(0))
        begin = min(count, NEW * (first + 1))
        for n in range(begun, begin):
            last[n] = publisher.last_seq(name(n))
        begun = begin
        order = random.permutation(begun)
        for at in range(0, begun, BLOCK):
            streams = order[at : at + BLOCK]
            seqs = last[streams] + 1
            X = observations(seed, streams, seqs)
            given = publisher.send_many([name(int(n)) for n in streams], X)
            if given != seqs.tolist():
                raise SystemExit(f"expected the numbers {seqs.tolist()}, got {given}")
            last[streams] = seqs
            tell(TAKEN, streams, seqs)
            if stopping:
                break
        if publisher.replayed > replayed:
            replayed = publisher.replayed
            tell(REPLAYED, [0], [replayed])
    publisher.flush(PATIENCE)
    tell(REPLAYED, [0], [publisher.replayed])
    for at in range(0, begun, BLOCK):
        part = np.arange(at, min(at + BLOCK, begun))
        tell(ENDED, part, last[part])


def main() -> None:
    """Publish as the command line says."""
    endpoint, journal, count, seed = sys.argv[1:]
    numbers = {name(n): n for n in range(int(count))}

    def deliver(stream: wire.StreamId, seq: int, y: Any) -> None:
        tell(DELIVERED, [numbers[stream]], [seq], y)

    with ReplayingPublisher(
        endpoint,
        on_prediction=deliver,
        journal=journal,
        max_rows=2 * int(count),
        timeout=PATIENCE,
        linger=PATIENCE,
    ) as publisher:
        publish(publisher, int(count), int(seed))


if __name__ == "__main__":
    main()
