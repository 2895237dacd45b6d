"""The errors of a replaying publisher and their texts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ... import wire
from ...errors import StreamLSTMError, WorkerTimeoutError
from ..failures import how_to_check


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
        f"stream {stream!r}: the worker has reached number {seq}, and the oldest observation that "
        f"can be sent again is number {oldest}: expected {oldest - 1} at least, since the worker "
        "has confirmed all before. It has lost state (was it started again without its store?). "
        f"Restore its state, or send it observations {seq + 1} to {oldest - 1} from elsewhere; or "
        "start again, with the stream forgotten and another journal"
    )


def fed_elsewhere(stream: wire.StreamId, seq: int, assigned: int) -> StreamLSTMError:
    """Return the error for a stream that another publisher feeds as well."""
    return StreamLSTMError(
        f"stream {stream!r}: expected the worker to have reached {assigned} at most, the last "
        f"number assigned here, it has reached {seq}: somebody else feeds this stream. Let each "
        "stream have one publisher"
    )


def left_out(stream: wire.StreamId, error: wire.Error) -> str:
    """Return the message for an observation that the worker refused and that was left out."""
    return (
        f"stream {stream!r}: the worker refused an observation, which was left out "
        f"({error.code}: {error.message})"
    )


def refused(stream: wire.StreamId, seq: int, error: wire.Error) -> StreamLSTMError:
    """Return the error for an invalid observation that stops the publisher."""
    return StreamLSTMError(
        f"stream {stream!r}: the worker refused observation {seq} ({error.code}: "
        f"{error.message}); it and all after it are not applied, and nothing more is sent. "
        "Correct it and start again, without a journal that holds the old one"
    )


def not_applied(stream: wire.StreamId, seq: int, error: wire.Error) -> StreamLSTMError:
    """Return the error for a valid observation that the worker cannot apply."""
    return StreamLSTMError(
        f"stream {stream!r}: the worker does not apply observation {seq} ({error.code}: "
        f"{error.message}); nothing more is sent. Solve that, then start again: the "
        "observations in a journal are sent then"
    )
