"""A program that publishes with a journal until it is killed: endpoint, journal, log, how many."""

from __future__ import annotations

import os
import sys

import numpy as np

from streamlstm import ReplayingPublisher
from streamlstm.engine.validation import Float32Array
from streamlstm.wire import StreamId

STREAMS = ["a", "b", "c"]


def series(count: int) -> Float32Array:
    """Return the observations of every stream, float32[streams, count, 2]."""
    X = np.random.default_rng(8).standard_normal((len(STREAMS), count, 2))
    return X.astype(np.float32)


def main() -> None:
    endpoint, journal, path, number = sys.argv[1:]
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def deliver(stream: StreamId, seq: int, y: Float32Array) -> None:
        os.write(log, f"{stream} {seq} {y.tobytes().hex()}\n".encode())

    X = series(int(number))
    with ReplayingPublisher(
        endpoint,
        journal=journal,
        on_prediction=deliver,
        max_rows=40,
        timeout=60,
        linger=60,
        retry=0.3,
    ) as publisher:
        done = [publisher.last_seq(stream) for stream in STREAMS]
        for n in range(min(done), int(number)):
            for stream, rows, last in zip(STREAMS, X, done, strict=True):
                if n >= last:
                    publisher.send(stream, rows[n])
                    print(n, flush=True)
    print("done", flush=True)


if __name__ == "__main__":
    main()
