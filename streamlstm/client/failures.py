"""The errors of the clients and their texts: what failed, after how long, and what to check."""

from __future__ import annotations

from ..engine.forks import fork_error
from ..errors import ForkError, HandshakeError, StreamLSTMError, WorkerTimeoutError
from .curve_handshake import HandshakeFailure

_UNKNOWN = HandshakeFailure()


def how_to_check(endpoint: str, option: str) -> str:
    """Return a sentence that says how to check whether a worker runs at an endpoint."""
    command = "streamlstm info" if option == "router" else "streamlstm serve MODEL"
    return (
        f"Check that a worker runs there: {command} --{option} {endpoint}. If one does, its log "
        "says whether it refuses connections (--max-connections)"
    )


def not_sent(
    endpoint: str, timeout: float, option: str, failure: HandshakeFailure = _UNKNOWN
) -> WorkerTimeoutError:
    """Return the error for a message that no worker took."""
    kind = HandshakeError if failure.certain else WorkerTimeoutError
    return kind(
        f"{endpoint}: no worker took the message within {timeout:g} s; it was not sent. "
        f"{failure.reason}{how_to_check(endpoint, option)}"
    )


def backlog_not_sent(
    endpoint: str, timeout: float, rows: int, includes_call: bool
) -> WorkerTimeoutError:
    """Return the error for delayed observations that no worker took.

    ``includes_call``: those of the call that raises it were not sent either.
    """
    also = "; neither is the one of this call" if includes_call else ""
    return WorkerTimeoutError(
        f"{endpoint}: no worker took the delayed observations within {timeout:g} s; observations "
        f"that were not sent: {rows}{also}. {how_to_check(endpoint, 'pull')}"
    )


def window_full(endpoint: str, timeout: float, window: int) -> WorkerTimeoutError:
    """Return the error for a request that timed out waiting for room in the window."""
    return WorkerTimeoutError(
        f"{endpoint}: {window} requests were in flight, the maximum, and there was no room for "
        f"another within {timeout:g} s; it was not sent. Send more slowly, or check the worker: "
        f"streamlstm info --router {endpoint}"
    )


def no_reply(endpoint: str, timeout: float) -> WorkerTimeoutError:
    """Return the error for a request that got no reply."""
    error = WorkerTimeoutError(
        f"{endpoint}: no reply within {timeout:g} s; the request may still have been "
        f"applied. {how_to_check(endpoint, 'router')}"
    )
    error.in_doubt = True
    return error


def worker_lost(endpoint: str) -> WorkerTimeoutError:
    """Return the error for a request whose worker of a fleet ended before it answered."""
    error = WorkerTimeoutError(
        f"{endpoint}: the worker ended, or its connection broke, before it replied; the request "
        "may have been applied. Observations with numbers are sent again by themselves"
    )
    error.in_doubt = True
    return error


def no_owner(
    endpoint: str, timeout: float, failure: HandshakeFailure = _UNKNOWN
) -> WorkerTimeoutError:
    """Return the error for a request that found no worker of a fleet to take it."""
    kind = HandshakeError if failure.certain else WorkerTimeoutError
    return kind(
        f"{endpoint}: within {timeout:g} s no worker of the fleet took the request; it was not "
        f"applied. {failure.reason}Check that the fleet runs: streamlstm fleet status"
    )


def no_prediction(
    endpoint: str, timeout: float, failure: HandshakeFailure = _UNKNOWN
) -> WorkerTimeoutError:
    """Return the error for a subscriber that received nothing."""
    kind = HandshakeError if failure.certain else WorkerTimeoutError
    return kind(
        f"{endpoint}: no prediction within {timeout:g} s. {failure.reason}"
        f"{how_to_check(endpoint, 'xpub')}"
    )


def forked(name: str) -> ForkError:
    """Return the error for a client that was made before a fork, in the child."""
    why = "a connection does not survive a fork"
    return fork_error(f"this {name}", why, f"Make a {name} in the child")


def closed(name: str) -> StreamLSTMError:
    """Return the error for a client that is used after it was closed."""
    return StreamLSTMError(f"this {name} is closed; make a new one")
