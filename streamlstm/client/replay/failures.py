"""The errors of a replaying publisher and their texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ... import wire
from ...engine.numbers import shown_seq
from ...errors import FencedError, RemoteError, StreamLSTMError, WorkerTimeoutError
from ..failures import how_to_check

if TYPE_CHECKING:
    from .outbox import Entry


@contextmanager
def noting(error: BaseException | None) -> Iterator[None]:
    """Turn an error within ``with`` into a note of the one that is under way, if there is one.

    A publisher that is closed because of an error must not hide it behind what could not be
    confirmed any more.
    """
    try:
        yield
    except StreamLSTMError as closing:
        if error is None:
            raise
        if closing is not error:
            error.add_note(str(closing))


def last_seq_unknown(endpoint: str, timeout: float) -> WorkerTimeoutError:
    """Return the error for a new stream whose last number the worker did not say."""
    return WorkerTimeoutError(
        f"{endpoint}: the worker did not say within {timeout:g} s which number a new stream has "
        f"reached; the observation was not accepted. {how_to_check(endpoint, 'router')}"
    )


def outbox_full(endpoint: str, timeout: float, rows: int) -> WorkerTimeoutError:
    """Return the error for an observation that timed out waiting for room."""
    return WorkerTimeoutError(
        f"{endpoint}: {rows} observations are not confirmed, the maximum, and no room came within "
        f"{timeout:g} s; the observation was not accepted. Send it again later, or raise max_rows "
        f"and max_bytes. {how_to_check(endpoint, 'router')}"
    )


def unconfirmed(endpoint: str, rows: int, has_journal: bool) -> WorkerTimeoutError:
    """Return the error for observations that were not confirmed in time."""
    where = "still in the journal" if has_journal else "gone with this process"
    return WorkerTimeoutError(
        f"{endpoint}: {rows} observations were not confirmed in time; when the publisher ends they "
        f"are {where}. {how_to_check(endpoint, 'router')}"
    )


def state_lost(stream: wire.StreamId, seq: int, oldest: int) -> StreamLSTMError:
    """Return the error for a worker that has lost observations which it had confirmed."""
    return StreamLSTMError(
        f"stream {stream!r}: the worker has reached number {shown_seq(seq)}, and the oldest "
        f"observation that can be sent again is number {shown_seq(oldest)}: expected "
        f"{shown_seq(oldest - 1)} at least, since the worker "
        "has confirmed all before. It has lost state (was it started again without its store?). "
        f"Restore its state, or send it observations {shown_seq(seq + 1)} to "
        f"{shown_seq(oldest - 1)} from elsewhere; or "
        "start again, with the stream forgotten and another journal"
    )


def fed_elsewhere(stream: wire.StreamId, last: int, entries: Sequence[Entry]) -> FencedError:
    """Return the error for a stream that another publisher feeds as well.

    Parameters
    ----------
    stream : str or int
    last : int
        The worker's last number.
    entries : sequence of Entry
        Its unconfirmed observations.
    """
    open_ = [entry for entry in entries if not entry.applied]
    doubtful = [entry.seq for entry in open_ if entry.tries and entry.seq <= last]
    lost = [entry.seq for entry in open_ if not entry.tries or entry.seq > last]
    found = (
        ("in doubt", doubtful, " (the worker has observations of these numbers, whoever's)"),
        ("not applied", lost, ""),
    )
    which = "; ".join(f"{name}: {_range(seqs)}{why}" for name, seqs, why in found if seqs)
    return FencedError(
        f"stream {stream!r}: somebody else feeds this stream, the worker has reached "
        f"{shown_seq(last)}. "
        f"Observations from here {which or 'in doubt: none'}. Nothing more is sent. Let each "
        "stream have one publisher. To go on, start a new one (with another journal, if this one "
        "has one): it takes the stream over and continues after the worker's last number; send it "
        "what is missing there",
        last,
    )


def _range(seqs: list[int]) -> str:
    first, last = shown_seq(seqs[0]), shown_seq(seqs[-1])
    return first if len(seqs) == 1 else f"{first} to {last}"


def old_worker(endpoint: str) -> StreamLSTMError:
    """Return the error for a worker of a version that knows no producers."""
    return StreamLSTMError(
        f"{endpoint}: expected a worker that answers CLAIM, by which a publisher makes sure that "
        "it is a stream's only one; this worker is older. Upgrade streamlstm there. Nothing was "
        "sent"
    )


def within_callback(call: str) -> StreamLSTMError:
    """Return the error for a call that would wait within ``on_prediction``."""
    return StreamLSTMError(
        f"{call}: on_prediction runs where the worker's replies are received, which this call "
        "would wait for without end. Call it elsewhere: let on_prediction set a flag or fill a "
        "queue for another thread or task. It may send to streams that this publisher has sent to "
        "before, as long as there is room (max_rows, max_bytes)"
    )


def not_claimed(stream: wire.StreamId, error: wire.Error) -> RemoteError:
    """Return the error for a stream that the worker does not let this publisher claim."""
    return _remote(
        f"stream {stream!r}: the worker does not let this publisher send to it ({error.code}: "
        f"{error.message}); nothing more is sent. Solve that, then start again: the observations "
        "in a journal are sent then",
        error,
        stream,
    )


def left_out(stream: wire.StreamId, error: wire.Error) -> RemoteError:
    """Return the error for an observation that the worker refused and that was left out."""
    return _remote(
        f"stream {stream!r}: the worker refused an observation, which was left out "
        f"({error.code}: {error.message})",
        error,
        stream,
        error.seq,
    )


def refused(stream: wire.StreamId, seq: int, error: wire.Error) -> RemoteError:
    """Return the error for an invalid observation that stops the publisher."""
    return _remote(
        f"stream {stream!r}: the worker refused observation {seq} ({error.code}: "
        f"{error.message}); it and all after it are not applied, and nothing more is sent. "
        "Correct it and start again, without a journal that holds the old one",
        error,
        stream,
        seq,
    )


def not_applied(stream: wire.StreamId, seq: int, error: wire.Error) -> RemoteError:
    """Return the error for a valid observation that the worker cannot apply."""
    return _remote(
        f"stream {stream!r}: the worker does not apply observation {seq} ({error.code}: "
        f"{error.message}); nothing more is sent. Solve that, then start again: the "
        "observations in a journal are sent then",
        error,
        stream,
        seq,
    )


def _remote(
    message: str, error: wire.Error, stream: wire.StreamId, seq: int | None = None
) -> RemoteError:
    """Return an error with the worker's code, as a client raises it."""
    return RemoteError(message, error.code, stream, seq, last_seq=error.last_seq)
