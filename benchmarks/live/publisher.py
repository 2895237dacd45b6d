"""A replaying publisher that runs until SIGKILL or SIGTERM and writes its events to stdout.

    python -m benchmarks.live.publisher ENDPOINT JOURNAL STREAMS SEED

ENDPOINT is that of a worker, or the endpoints file of a fleet.

Every observation is a function of its stream, its sequence number and the seed, so the program
needs no state of its own. Some streams have a publisher without a callback for predictions, which
therefore has many of their observations in flight; some observations have an event time.

The events are records of a fixed size, each with its stream and sequence number: ACCEPTED when
``send`` has returned, DELIVERED with the prediction, FLUSHED with the last number of a stream when
all is confirmed, REPLAYED with the number of observations sent again so far. Each write to the pipe
is atomic, so that SIGKILL leaves complete records.

SIGURG, which does nothing before that, cuts some of its connections, as a network does: whatever
is under way, at either end.
"""

import os
import random
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Any

import numpy as np

from streamlstm import LSTM, Dense, Model, Online, ReplayingPublisher, wire
from streamlstm.errors import EndpointError
from streamlstm.network.layers import Layer

F, H, O = 3, 12, 2
ACCEPTED, DELIVERED, FLUSHED, REPLAYED = range(4)
RECORD = np.dtype([("kind", "<u4"), ("stream", "<u4"), ("seq", "<u4"), ("y", "<f4", (O,))])
BLOCK = 128  # streams of a call: their records fit into an atomic write to a pipe
NEW_STREAMS = 40  # streams that start in each pass
SILENT_EVERY, TIMED_EVERY = 4, 50  # one stream in so many has no callback, or has event times
TIMEOUT = 180.0  # seconds: a fleet takes 50 to start on a machine with much other work
MISSING = 8  # of 256 values
CUT_FRACTION = 0.7  # of the connections
ONLINE = Online(
    fill="last", scale="stream", adapt="rls", intervals=(0.5, 0.9), anomaly=True, alarm_rate=0.01
)


def model(variant: int = 0) -> Model:
    """Return the model: two LSTMs, a head and an online stage, so that a state has many parts.

    Variant 1 is another model for everyone who compares fingerprints, and gives the same bits: a
    bias that is 0 in one is -0 in the other.
    """
    rng = np.random.default_rng(H)
    layers: list[Layer] = [LSTM(F, H), LSTM(H, H), Dense(H, O)]
    weights = [
        {n: rng.uniform(-1, 1, s) / H**0.5 for n, s in layer.parameters().items()}
        for layer in layers
    ]
    weights[-1]["bias"][0] = -0.0 if variant else 0.0
    names = [f"x{n}" for n in range(F)]
    return Model(layers, weights, inputs=names, outputs=names[:O], online=ONLINE)


def name(n: int) -> wire.StreamId:
    """Return the id of stream ``n``; every other one is an integer."""
    return f"pump-{n}" if n % 2 else n


def is_delivered(n: Any) -> Any:
    """Return whether the predictions of stream ``n`` are delivered to a callback."""
    return n % SILENT_EVERY != SILENT_EVERY - 1


def event_time(seq: int) -> float:
    """Return the event time of an observation, for streams with event times."""
    return 1e9 + seq / 7


def observations(seed: int, streams: Any, seqs: Any) -> Any:
    """Return the observations of streams int[B] with sequence numbers int[B], float32[B, F].

    Some values are missing: NaN.
    """
    z = np.arange(1, F + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = z + np.asarray(streams, np.uint64)[:, None] * np.uint64(0xD1B54A32D192ED03)
    z = z + np.asarray(seqs, np.uint64)[:, None] * np.uint64(0x8CB92BA72F3D8DD7)
    z = z + np.full(F, seed, np.uint64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)  # splitmix64
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = ((z >> np.uint64(40)).astype(np.float32) / 2**23 - 1).astype(np.float32)
    return np.where((z & np.uint64(255)) < MISSING, np.float32(np.nan), x)


def write_records(kind: int, streams: Any, seqs: Any, y: Any = 0.0) -> None:
    """Write records to stdout."""
    records = np.zeros(len(streams), RECORD)
    records["kind"], records["stream"], records["seq"], records["y"] = kind, streams, seqs, y
    data = records.tobytes()
    if os.write(sys.stdout.fileno(), data) != len(data):
        raise SystemExit("the write of records was not atomic")


class Sender:
    """Sends observations of the streams of one publisher.

    Parameters
    ----------
    publisher : ReplayingPublisher
    streams : int[N]
        Numbers of its streams, in the order in which they start.
    seed : int
    """

    def __init__(self, publisher: ReplayingPublisher, streams: Any, seed: int) -> None:
        self.publisher = publisher
        self._streams, self._seed = streams, seed
        self._last = np.zeros(len(streams), np.int64)
        self._started = 0
        self._random = np.random.default_rng()

    def start_streams(self) -> None:
        """Start more streams; their number follows from the number of passes so far."""
        passes = self.publisher.last_seq(name(int(self._streams[0])))
        count = min(len(self._streams), NEW_STREAMS * (passes + 1))
        for n in range(self._started, count):
            self._last[n] = self.publisher.last_seq(name(int(self._streams[n])))
        self._started = count

    def blocks(self) -> Any:
        """Return the started streams in blocks, in random order."""
        order = self._random.permutation(self._started)
        return [order[at : at + BLOCK] for at in range(0, self._started, BLOCK)]

    def send(self, block: Any) -> None:
        """Send the next observation of some streams, and record that they were accepted."""
        streams, seqs = self._streams[block], self._last[block] + 1
        X = observations(self._seed, streams, seqs)
        timed = streams % TIMED_EVERY == 0
        names = [name(int(n)) for n in streams]
        given = self.publisher.send_many([names[k] for k in np.flatnonzero(~timed)], X[~timed])
        for k in np.flatnonzero(timed):
            moment = event_time(int(seqs[k]))
            given.append(self.publisher.send(names[k], X[k], time=moment))
        if given != [*seqs[~timed].tolist(), *seqs[timed].tolist()]:
            raise SystemExit(f"expected the sequence numbers {seqs.tolist()}, got {given}")
        self._last[block] = seqs
        write_records(ACCEPTED, streams, seqs)

    def end(self) -> None:
        """Flush, and record the last sequence number of each stream."""
        self.start_streams()  # the signal may arrive before the first pass
        self.publisher.flush(TIMEOUT)
        for at in range(0, self._started, BLOCK):
            part = slice(at, min(at + BLOCK, self._started))
            write_records(FLUSHED, self._streams[part], self._last[part])


def publish(senders: list[Sender], stopping: list[int]) -> None:
    """Send observations of all streams in turn until a signal arrives, then flush."""
    replayed = 0
    while not stopping:
        for sender in senders:
            sender.start_streams()
            for block in sender.blocks():
                sender.send(block)
                if stopping:
                    break
        if (now := sum(sender.publisher.replayed for sender in senders)) > replayed:
            replayed = now
            write_records(REPLAYED, [0], [replayed])
    for sender in senders:
        sender.end()
    write_records(REPLAYED, [0], [sum(sender.publisher.replayed for sender in senders)])


def cut_connections() -> None:
    """Cut some of the connections of this process."""
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # it is closed, or no socket
            end = socket.socket(fileno=os.dup(int(name)))
            with end:
                if end.family == socket.AF_INET and random.random() < CUT_FRACTION:
                    end.shutdown(socket.SHUT_RDWR)


def publisher(**options: Any) -> ReplayingPublisher:
    """Return a publisher, as soon as there is an endpoints file: a fleet that starts removes it."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            return ReplayingPublisher(**options)
        except EndpointError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def main() -> None:
    """Publish until a signal arrives."""
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    signal.signal(signal.SIGURG, lambda *_: cut_connections())
    endpoint, journal, count, seed = sys.argv[1:]
    streams = np.arange(int(count))
    numbers = {name(n): n for n in range(int(count))}

    def deliver(stream: wire.StreamId, seq: int, y: Any) -> None:
        write_records(DELIVERED, [numbers[stream]], [seq], y)

    where = {"endpoints": endpoint} if endpoint.endswith(".json") else {"router": endpoint}
    options: dict[str, Any] = {
        **where,
        "max_rows": 2 * int(count),
        "timeout": TIMEOUT,
        "linger": TIMEOUT,
    }
    with (
        publisher(on_prediction=deliver, journal=journal, **options) as first,
        publisher(journal=f"{journal}-silent", **options) as second,
    ):
        senders = [
            Sender(each, chosen, int(seed))
            for each, chosen in (
                (first, streams[is_delivered(streams)]),
                (second, streams[~is_delivered(streams)]),
            )
            if len(chosen)
        ]
        publish(senders, stopping)


if __name__ == "__main__":
    main()
