"""Who hears what a publisher tells, and who judges it against an engine that nothing disturbed."""

import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from streamlstm import Engine, Model
from streamlstm.client.client import Client
from streamlstm.errors import RemoteError

from .source import (
    DELIVERED,
    ENDED,
    RECORD,
    REPLAYED,
    TAKEN,
    TIMED,
    O,
    event_time,
    is_heard,
    name,
    observations,
)

NAMED = 5  # faults of a sort that are told in full


class Collector:
    """Reads the records of one publisher in a thread of its own, until the pipe ends.

    Attributes
    ----------
    delivered : int
        Predictions so far.
    replayed : int
        Observations that were sent again, as the publisher said last.
    """

    def __init__(self, pipe: int) -> None:
        self.delivered = self.replayed = 0
        self._pipe = pipe
        self._parts: list[Any] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        rest = b""
        while data := os.read(self._pipe, 2**16):
            data = rest + data
            whole = len(data) // RECORD.itemsize * RECORD.itemsize
            records, rest = np.frombuffer(data[:whole], RECORD), data[whole:]
            self._parts.append(records)
            self.delivered += int(np.count_nonzero(records["kind"] == DELIVERED))
            if (said := records["seq"][records["kind"] == REPLAYED]).size:
                self.replayed = int(said[-1])

    def end(self) -> Any:
        """Wait until the publisher is gone and all is read; return its records."""
        self._thread.join()
        return np.concatenate([*self._parts, np.empty(0, RECORD)])


class Judge:
    """Compares what was told, and what a worker has, with an engine that nothing disturbed.

    Parameters
    ----------
    model : Model
    streams, seed : int
        As the publisher has them.

    Attributes
    ----------
    last : int64[streams]
        Where the streams stood at the last look.
    deliveries : int
        Predictions that were compared; those that were delivered again count again.
    """

    def __init__(self, model: Model, streams: int, seed: int) -> None:
        self._engine = Engine(model, capacity=streams, threads=1)
        self._names = [name(n) for n in range(streams)]
        self._seed = seed
        self._heard = is_heard(np.arange(streams))
        self._expected: list[Any] = []  # of each number float32[streams, O]
        self._delivered: list[Any] = []  # likewise bool[streams]
        self.last = np.zeros(streams, np.int64)
        self.deliveries = 0

    @property
    def observations(self) -> int:
        """How many observations the streams have had."""
        return int(self.last.sum())

    def judge(self, told: Any, client: Client) -> list[str]:
        """Return what is wrong, one sentence each.

        Parameters
        ----------
        told : RECORD[...]
            What the publishers said since the last time; the last of them has ended in peace.
        client : Client
            Of the worker.
        """
        last = np.array(client.last_seqs(self._names), np.int64)
        return [
            *_some(self._numbers(told, last)),
            *_some(self._predictions(told, last)),
            *_some(self._states(client)),
        ]

    def _numbers(self, told: Any, last: Any) -> Iterator[str]:
        """Compare where the worker's streams stand with what its publisher has counted."""
        for kind, what in ((TAKEN, "taken"), (ENDED, "counted at its end")):
            records = told[told["kind"] == kind]
            most = np.zeros(len(last), np.int64)
            np.maximum.at(most, records["stream"], records["seq"])
            wrong = most > last if kind == TAKEN else most != last
            for n in np.flatnonzero(wrong):
                yield (
                    f"stream {self._names[n]!r}: the worker stands at observation {last[n]}, the "
                    f"publisher had {what} {most[n]}"
                )

    def _predictions(self, told: Any, last: Any) -> Iterator[str]:
        """Step the engine to where the worker stands; compare with what was delivered."""
        before = self.last
        self._advance(last)
        records = told[told["kind"] == DELIVERED]
        self.deliveries += len(records)
        early = records["seq"].astype(np.int64) > last[records["stream"]]
        for record in records[early]:
            yield self._named(record) + f"was delivered, the worker stands at {last[record[1]]}"
        records = records[~early]
        records = records[np.argsort(records["seq"], kind="stable")]
        numbers, starts = np.unique(records["seq"], return_index=True)
        for seq, some in zip(numbers, np.split(records, starts[1:]), strict=True):
            expected = self._expected[seq - 1][some["stream"]]
            self._delivered[seq - 1][some["stream"]] = True
            differ = (some["y"].view("<u4") != expected.view("<u4")).any(axis=1)
            for record, y in zip(some[differ], expected[differ], strict=True):
                yield self._named(record) + f"was delivered as {record['y']}, expected {y}"
        for seq in range(1, len(self._expected) + 1):
            due = (before < seq) & (seq <= last)
            for n in np.flatnonzero(due & self._heard & ~self._delivered[seq - 1]):
                yield (
                    f"stream {self._names[n]!r}: the prediction of observation {seq} was never "
                    "delivered"
                )

    def _named(self, record: Any) -> str:
        return (
            f"stream {self._names[record['stream']]!r}: the prediction of observation "
            f"{record['seq']} "
        )

    def _advance(self, last: Any) -> None:
        for seq in range(int(self.last.min()) + 1, int(last.max()) + 1):
            streams = np.flatnonzero((self.last < seq) & (seq <= last))
            if seq > len(self._expected):
                self._expected.append(np.zeros((len(last), O), np.float32))
                self._delivered.append(np.zeros(len(last), bool))
            for timed in (False, True):
                self._step(streams[(streams % TIMED == 0) == timed], seq, timed)
        self.last = np.maximum(last, self.last)

    def _step(self, streams: Any, seq: int, timed: bool) -> None:
        if not len(streams):
            return
        self._expected[seq - 1][streams] = self._engine.step_many(
            [self._names[n] for n in streams],
            observations(self._seed, streams, np.full(len(streams), seq)),
            seqs=[seq] * len(streams),
            times=[event_time(seq)] * len(streams) if timed else None,
        )

    def _states(self, client: Client) -> Iterator[str]:
        """Compare all that the worker remembers of each stream, bit for bit."""
        for stream, last in zip(self._names, self.last, strict=True):
            if last == 0:
                continue
            expected = self._engine.export_stream(stream)
            try:
                came = client.export_stream(stream)
            except RemoteError as error:
                yield f"stream {stream!r}: the worker has lost it ({error.code}: {error})"
                continue
            if came != expected:
                pairs = enumerate(zip(came, expected, strict=False))
                at = next((n for n, (a, b) in pairs if a != b), min(len(came), len(expected)))
                yield (
                    f"stream {stream!r}: the worker's state differs from byte {at} of "
                    f"{len(expected)} on, at observation {last}"
                )


def _some(faults: Iterator[str]) -> list[str]:
    """Return the first of them, and how many more there are."""
    told = list(faults)
    more = len(told) - NAMED
    return [*told[:NAMED], *([f"and {more:,} more like this"] if more > 0 else [])]
