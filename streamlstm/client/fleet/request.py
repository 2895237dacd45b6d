"""A request of a fleet's client, and the parts into which it is divided."""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Sequence
from typing import Any

from ... import wire
from ...engine.numbers import SPARSE
from ..replies import Decoder, decode_nothing
from .router import Routed

_REPEATED = (wire.Last, wire.Export, wire.Info, wire.Ping, wire.List, wire.Table)


class FleetRequest(Routed):
    """A message, the future of its reply, and what is needed to send it again.

    Parameters
    ----------
    future : object
        A future, or a :class:`Part`.
    message : wire.Request
    frame : bytes
        The message, encoded.
    decode : callable
    timeout : float
        In seconds.

    Attributes
    ----------
    partitions : tuple of int
        Those of its streams, each once; empty if every worker is meant, or only ``router``.
    rows : list of int or None
        The partition of each of its streams, where it names many.
    deadline : float
        In seconds of the monotonic clock.
    is_settled : bool
        Whether its future got its result.
    repeats : bool
        Whether it can be sent again when nobody knows if it was applied.
    apart : bool
        Whether its rows are independent, and are sent one by one if it is refused.
    patient : bool
        Whether its deadline is put off as long as the workers that have its streams answer others.
    tries : int
        How often it was sent again when nobody knew whether it was applied.
    unknown : stream id or None
        Its stream, while its partition has not been computed.
    refusal : Exception or None
        Why it was not applied when it was sent last: it is to be sent again.
    """

    __slots__ = (
        "apart", "deadline", "decode", "frame", "future", "is_settled", "message", "patient",
        "refusal", "repeats", "rows", "timeout", "tries", "unknown",
    )  # fmt: skip

    def __init__(
        self,
        future: Any,
        message: wire.Request,
        frame: bytes,
        decode: Decoder[Any],
        timeout: float,
    ) -> None:
        seqs: Sequence[int] = (0,)
        if isinstance(message, wire.Step):
            seqs = (message.seq,)
        elif isinstance(message, wire.Steps):
            seqs = message.seqs or seqs
        self.repeats = all(seqs) or isinstance(message, _REPEATED)
        # A sparse number that comes too early is applied, and what it has overtaken never is.
        sparse = max(seqs) >= SPARSE
        numbered = all(seqs) and not sparse
        super().__init__((), numbered or isinstance(message, wire.Last), sparse)
        self.future, self.message, self.frame, self.decode = future, message, frame, decode
        self.timeout, self.deadline = timeout, clock.monotonic() + timeout
        self.rows: list[int] | None = None
        self.tries, self.is_settled = 0, False
        self.patient = decode is decode_nothing
        self.apart = self.patient and isinstance(message, wire.Steps)
        self.unknown: wire.StreamId | None = None
        self.refusal: Exception | None = None

    def place(self, rows: list[int]) -> None:
        """Note the partitions of its streams."""
        self.rows, self.partitions = rows, tuple(dict.fromkeys(rows))
        many = len(self.partitions) > 1
        self.blocks = self.apart or self.sparse or (many and not self.repeats)

    def part(self, future: Part, message: wire.Request, decode: Decoder[Any]) -> FleetRequest:
        """Return a request for a part of this one, with its deadline."""
        frame = self.frame if message is self.message else wire.encode(message)
        part = FleetRequest(future, message, frame, decode, self.timeout)
        part.deadline, part.tries, part.patient = self.deadline, self.tries, self.patient
        return part

    def known(self, frame: bytes) -> Any:
        """Return its result from the answer that it was applied before, which has it."""
        error = wire.decode_reply(frame)
        assert isinstance(error, wire.Error)
        assert isinstance(self.message, wire.Step)
        assert error.y is not None
        stream, seq = self.message.stream, self.message.seq
        return self.decode(wire.encode(wire.Prediction(stream, seq, error.y, error.extra)))


class Whole:
    """What the parts of a request were answered.

    Parameters
    ----------
    request : FleetRequest
        The whole.
    groups : sequence of sequence of int
        The rows of each part.
    finish : callable
        Called with this when all are answered.

    Attributes
    ----------
    groups
        As given, and of parts into which parts were divided later.
    results, errors : list
        Of each part; None where it has the other.
    """

    def __init__(
        self,
        request: FleetRequest,
        groups: Sequence[Sequence[int]],
        finish: Callable[[Whole], object],
    ) -> None:
        self.request, self.groups = request, list(groups)
        self.results: list[Any] = [None] * len(groups)
        self.errors: list[Exception | None] = [None] * len(groups)
        self._left, self._finish = len(groups), finish

    def note(self, place: int, result: Any, error: Exception | None) -> None:
        """Take the answer of a part."""
        self.results[place], self.errors[place] = result, error
        self._left -= 1
        if not self._left:
            self._finish(self)

    def divide(self, place: int, groups: Sequence[Sequence[int]]) -> list[int]:
        """Replace a part by parts that have some of its rows each; return their places."""
        rows, more = self.groups[place], len(groups) - 1
        places = [place, *range(len(self.groups), len(self.groups) + more)]
        self.groups += [()] * more
        self.results += [None] * more
        self.errors += [None] * more
        self._left += more
        for n, group in zip(places, groups, strict=True):
            self.groups[n] = [rows[row] for row in group]
        return places


class Part:
    """The future of a part: it tells the whole.

    Attributes
    ----------
    whole : Whole
    place : int
        Its number there.
    """

    __slots__ = ("place", "whole")

    def __init__(self, whole: Whole, place: int) -> None:
        self.whole, self.place = whole, place

    def done(self) -> bool:
        """Return whether nobody wants the answer any more."""
        return bool(self.whole.request.future.done())

    def cancelled(self) -> bool:
        """Return False: only a whole can be cancelled."""
        return False

    def exception(self) -> None:
        """Do nothing: there is nobody who would complain."""

    def set_result(self, result: Any) -> None:
        """Tell the whole a result."""
        self.whole.note(self.place, result, None)

    def set_exception(self, error: Exception) -> None:
        """Tell the whole an error."""
        self.whole.note(self.place, None, error)
