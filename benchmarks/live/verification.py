"""Compares the records of publishers and the state of a worker with an undisturbed engine."""

import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from streamlstm import Engine, Model
from streamlstm.client.client import Client
from streamlstm.errors import RemoteError

from .publisher import (
    ACCEPTED,
    DELIVERED,
    FLUSHED,
    RECORD,
    REPLAYED,
    TIMED_EVERY,
    O,
    event_time,
    is_delivered,
    name,
    observations,
)

_PRODUCER, _CRC = slice(40, 48), 4  # bytes of an exported state (engine/export.py)
MAX_SHOWN = 5  # violations of a kind that are shown in full


class RecordReader:
    """Reads the records of one publisher in a thread, until the pipe is closed.

    Attributes
    ----------
    delivered : int
        Predictions so far.
    replayed : int
        Observations sent again, by the last record of that kind.
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
            if (replayed := records["seq"][records["kind"] == REPLAYED]).size:
                self.replayed = int(replayed[-1])

    def end(self) -> Any:
        """Wait for the end of the publisher; return its records."""
        self._thread.join()
        return np.concatenate([*self._parts, np.empty(0, RECORD)])


class Verifier:
    """Compares records and the state of a worker with an engine that nothing disturbed.

    Parameters
    ----------
    model : Model
    streams, seed : int
        Those of the publisher.

    Attributes
    ----------
    last : int64[streams]
        Last sequence number of each stream at the last verification.
    deliveries : int
        Number of predictions compared; repeated deliveries count each time.
    """

    def __init__(self, model: Model, streams: int, seed: int) -> None:
        self._engine = Engine(model, capacity=streams, threads=1)
        self._names = [name(n) for n in range(streams)]
        self._seed = seed
        self._has_callback = is_delivered(np.arange(streams))
        self._expected: list[Any] = []  # of each number float32[streams, O]
        self._delivered: list[Any] = []  # likewise bool[streams]
        self.last = np.zeros(streams, np.int64)
        self.deliveries = 0

    @property
    def observations(self) -> int:
        """Number of observations of all streams."""
        return int(self.last.sum())

    def verify(self, records: Any, client: Client) -> list[str]:
        """Return the violations, one sentence each.

        Parameters
        ----------
        records : RECORD[...]
            Records of all publishers since the last verification; the last publisher has flushed.
        client : Client
            A client of the worker.
        """
        last = np.array(client.last_seqs(self._names), np.int64)
        return [
            *_first(self._check_seqs(records, last)),
            *_first(self._check_predictions(records, last)),
            *_first(self._check_states(client)),
        ]

    def _check_seqs(self, records: Any, last: Any) -> Iterator[str]:
        """Compare the worker's sequence numbers with those of its publishers."""
        for kind, event in ((ACCEPTED, "accepted"), (FLUSHED, "flushed")):
            chosen = records[records["kind"] == kind]
            highest = np.zeros(len(last), np.int64)
            np.maximum.at(highest, chosen["stream"], chosen["seq"])
            wrong = highest > last if kind == ACCEPTED else highest != last
            for n in np.flatnonzero(wrong):
                yield (
                    f"stream {self._names[n]!r}: the worker is at observation {last[n]}, the "
                    f"publisher had {event} {highest[n]}"
                )

    def _check_predictions(self, records: Any, last: Any) -> Iterator[str]:
        """Step the engine to the worker's sequence numbers; compare the delivered predictions."""
        before = self.last
        self._advance(last)
        records = records[records["kind"] == DELIVERED]
        self.deliveries += len(records)
        early = records["seq"].astype(np.int64) > last[records["stream"]]
        for record in records[early]:
            yield self._describe(record) + f"was delivered, the worker is at {last[record[1]]}"
        records = records[~early]
        records = records[np.argsort(records["seq"], kind="stable")]
        numbers, starts = np.unique(records["seq"], return_index=True)
        for seq, group in zip(numbers, np.split(records, starts[1:]), strict=True):
            expected = self._expected[seq - 1][group["stream"]]
            self._delivered[seq - 1][group["stream"]] = True
            differ = (group["y"].view("<u4") != expected.view("<u4")).any(axis=1)
            for record, y in zip(group[differ], expected[differ], strict=True):
                yield self._describe(record) + f"was delivered as {record['y']}, expected {y}"
        for seq in range(1, len(self._expected) + 1):
            due = (before < seq) & (seq <= last)
            for n in np.flatnonzero(due & self._has_callback & ~self._delivered[seq - 1]):
                yield (
                    f"stream {self._names[n]!r}: the prediction of observation {seq} was never "
                    "delivered"
                )

    def _describe(self, record: Any) -> str:
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
                self._step(streams[(streams % TIMED_EVERY == 0) == timed], seq, timed)
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

    def _check_states(self, client: Client) -> Iterator[str]:
        """Compare the state of each stream, bit for bit."""
        for stream, last in zip(self._names, self.last, strict=True):
            if last == 0:
                continue
            expected = without_producer(self._engine.export_stream(stream))
            try:
                actual = without_producer(client.export_stream(stream))
            except RemoteError as error:
                yield f"stream {stream!r}: the worker has lost it ({error.code}: {error})"
                continue
            if actual != expected:
                pairs = enumerate(zip(actual, expected, strict=False))
                at = next((n for n, (a, b) in pairs if a != b), min(len(actual), len(expected)))
                yield (
                    f"stream {stream!r}: the worker's state differs from byte {at} of "
                    f"{len(expected)} on, at observation {last}"
                )


def without_producer(state: bytes) -> bytes:
    """Return an exported state without its producer, which an engine that nobody feeds has not."""
    return state[: _PRODUCER.start] + state[_PRODUCER.stop : -_CRC]


def _first(violations: Iterator[str]) -> list[str]:
    """Return the first violations, and the number of the others."""
    found = list(violations)
    more = len(found) - MAX_SHOWN
    return [*found[:MAX_SHOWN], *([f"and {more:,} more like this"] if more > 0 else [])]
