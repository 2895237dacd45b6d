"""Makes the parts of a request: for each worker that has streams of it, for each row, for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ... import wire
from ...errors import RemoteError, StreamLSTMError
from . import division
from .request import FleetRequest, Part, Whole

FEW = 8  # rows that are sent one by one when one of them was refused, and not by halves
OF_A_ROW = frozenset({"bad-value", "duplicate", "gap"})  # refusals that do not depend on other rows

Settle = Callable[[FleetRequest, Any, Exception | None], object]


class WorkerGoneError(StreamLSTMError):
    """A worker that ended before it answered a request which names no stream."""


def by_owner(
    request: FleetRequest, router_of: Callable[[int], str | None], settle: Settle
) -> list[FleetRequest]:
    """Return a part of a STEPS or LAST for each worker that has streams of it.

    Parameters
    ----------
    request : FleetRequest
    router_of : callable
        Returns who has a partition.
    settle : callable
        Called with the whole request, its result and its error when all parts are answered.
    """
    assert request.rows is not None
    return _parts(request, division.groups([router_of(n) for n in request.rows]), settle)


def without(request: FleetRequest, partition: int, settle: Settle) -> list[FleetRequest]:
    """Return the part of a STEPS or LAST that names streams of a partition, and the others."""
    of = request.rows
    assert of is not None
    apart = [row for row, n in enumerate(of) if n == partition]
    others = [row for row, n in enumerate(of) if n != partition]
    return _parts(request, [apart, others], settle)


def _parts(
    request: FleetRequest, groups: Sequence[Sequence[int]], settle: Settle
) -> list[FleetRequest]:
    of, message = request.rows, request.message
    assert of is not None
    assert isinstance(message, wire.Steps | wire.Last)
    whole, places = _divided(request, groups, settle)
    decode = division.decoder_of_part(request.decode)
    parts = []
    for place, rows in zip(places, groups, strict=True):
        part = request.part(Part(whole, place), division.select(message, rows), decode)
        part.place([of[n] for n in rows])
        parts.append(part)
    return parts


def around(request: FleetRequest, refusal: RemoteError, settle: Settle) -> list[FleetRequest]:
    """Return parts of a STEPS of independent rows that was refused for one of them, without it.

    What comes before that row is one part, what comes behind it two: of many rows, each one that is
    refused costs some messages, not all rows a message of their own. Rows are sent one by one if
    they are few, or if it is not sure which one was refused, or that it is refused whatever the
    others are; the row itself is sent no more.
    """
    message = request.message
    assert isinstance(message, wire.Steps)
    rows = [n for n, stream in enumerate(message.streams) if stream == refusal.stream]
    if len(message.streams) <= FEW or len(rows) != 1 or refusal.code not in OF_A_ROW:
        return by_row(request, settle)
    row, count = rows[0], len(message.streams)
    middle = (row + 1 + count) // 2
    ranges = [range(row), range(row + 1, middle), range(middle, count)]
    made = _parts(request, [[row], *(list(each) for each in ranges if each)], settle)
    made[0].future.set_exception(refusal)
    return made[1:]


def by_row(request: FleetRequest, settle: Settle) -> list[FleetRequest]:
    """Return a STEP for each row of a STEPS: each tells its prediction if it was applied before."""
    of, message = request.rows, request.message
    assert of is not None
    assert isinstance(message, wire.Steps)
    whole, places = _divided(request, [[n] for n in range(len(of))], settle)
    parts = []
    for n, (place, partition) in enumerate(zip(places, of, strict=True)):
        part = request.part(Part(whole, place), division.single(message, n), division.decode_row)
        part.partitions = (partition,)
        parts.append(part)
    return parts


def _divided(
    request: FleetRequest, groups: Sequence[Sequence[int]], settle: Settle
) -> tuple[Whole, Sequence[int]]:
    """Return the whole that a request is, or belongs to, and the places of its parts there."""
    if isinstance(request.future, Part):
        return request.future.whole, request.future.whole.divide(request.future.place, groups)

    def finish(whole: Whole) -> None:
        try:
            result = division.join(request.decode, whole.groups, whole.results, whole.errors)
        except Exception as error:
            settle(request, None, error)
        else:
            settle(request, result, None)

    return Whole(request, groups, finish), range(len(groups))


def for_all(
    request: FleetRequest,
    workers: Sequence[wire.FleetWorker],
    settle: Settle,
    repeat: Callable[[FleetRequest], object],
) -> list[FleetRequest]:
    """Return a request for each worker; together they are answered with a dict, by names.

    ``repeat`` is called with the request, instead of ``settle``, if it is to be sent to all again.
    """

    def finish(whole: Whole) -> None:
        errors = [error for error in whole.errors if error is not None]
        if request.repeats and any(isinstance(error, WorkerGoneError) for error in errors):
            repeat(request)
        elif errors:
            settle(request, None, errors[0])
        else:
            names = [worker.name for worker in workers]
            settle(request, dict(zip(names, whole.results, strict=True)), None)

    whole = Whole(request, [()] * len(workers), finish)
    parts = []
    for place, worker in enumerate(workers):
        part = request.part(Part(whole, place), request.message, request.decode)
        part.router = worker.router
        parts.append(part)
    return parts
