"""What must be so of each stream: each observation once, in order, at one worker."""

from __future__ import annotations

from collections.abc import Iterable

from .worker import NEW, State, Stream, Worker


class FaultError(AssertionError):
    """Something was lost, mixed up or applied twice, or two workers had it."""


def give(
    worker: Worker, stream: Stream, seq: int, others: Iterable[Worker] = ()
) -> tuple[str, int]:
    """Give a worker an observation of a stream that it answers for; return its answer.

    Parameters
    ----------
    worker : Worker
    stream : tuple
    seq : int
    others : iterable of Worker
        That answer for the stream, too.

    Raises
    ------
    FaultError
        If there are others, or the state of the stream is not what it has to be.
    """
    for _ in others:
        raise FaultError(f"two workers have partition {stream[0]}")
    before = worker.find(stream)
    if before != expected(before.seq):
        raise FaultError(f"stream {stream}: its state after {before.seq} is another's")
    if seq == before.seq + 1:
        worker.step(stream)
        return "done", seq
    return "last", before.seq


_CHAIN: list[State] = [NEW]


def expected(seq: int) -> State:
    """Return the state that a stream must have after its observation ``seq``."""
    while len(_CHAIN) <= seq:
        _CHAIN.append(_CHAIN[-1].next())
    return _CHAIN[seq]
