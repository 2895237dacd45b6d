"""The errors of the clients and their texts: what failed, after how long, and what to check."""

from __future__ import annotations

from shlex import quote

from ..engine.forks import fork_error
from ..errors import (
    ForkError,
    HandshakeError,
    ProtocolError,
    StreamLSTMError,
    WorkerTimeoutError,
)
from .curve_handshake import HandshakeFailure

_UNKNOWN = HandshakeFailure()


def command(name: str, endpoint: str, option: str = "router") -> str:
    """Return a command that finds a worker or a fleet: by an address, or by an endpoints file.

    ``option`` is the one that takes an address.
    """
    option = option if "://" in endpoint else "endpoints"
    return f"streamlstm {name} --{option} {quote(endpoint)}"


def how_to_check(endpoint: str, option: str) -> str:
    """Return a sentence that says how to check whether a worker runs at an endpoint."""
    asks = option == "router" or "://" not in endpoint
    asked = command("info" if asks else "serve MODEL", endpoint, option)
    return (
        f"Check that a worker runs there: {asked}. If one does, its log says whether it refuses "
        "connections (--max-connections)"
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


def lost_in_fleet(
    endpoint: str, rows: int, includes_call: bool, reason: BaseException
) -> WorkerTimeoutError:
    """Return the error for observations that a publisher sent to a fleet, and nobody answered.

    ``includes_call``: those of the call that raises it were not sent.
    """
    also = "; the one of this call was not sent" if includes_call else ""
    return WorkerTimeoutError(
        f"{endpoint}: observations sent before that were neither applied nor refused, as far as is "
        f"known: {rows}{also}. Why, for the first of them: {reason}"
    )


def unanswered(endpoint: str, seconds: float) -> WorkerTimeoutError:
    """Return the error for an observation that was not answered when its publisher was closed."""
    error = WorkerTimeoutError(
        f"{endpoint}: the publisher was closed, and no answer came within {seconds:.1f} s; it may "
        "still have been applied. Call flush() before close(), or give a longer linger"
    )
    error.in_doubt = True
    return error


def window_full(endpoint: str, timeout: float, window: int) -> WorkerTimeoutError:
    """Return the error for a request that timed out waiting for room in the window."""
    return WorkerTimeoutError(
        f"{endpoint}: {window} requests were in flight, the maximum, and there was no room for "
        f"another within {timeout:g} s; it was not sent. Send more slowly, or check the worker: "
        f"{command('info', endpoint)}"
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


def table_unknown(endpoint: str, error: ProtocolError) -> ProtocolError:
    """Return the error of requests for which a fleet's table says nothing that is understood."""
    return ProtocolError(
        f"{endpoint}: {error}; the fleet is perhaps newer than this client: install its version of "
        "streamlstm here. Nothing was sent; with --gateway any client of this version may go on"
    )


def no_owner(
    endpoint: str, timeout: float, failure: HandshakeFailure = _UNKNOWN
) -> WorkerTimeoutError:
    """Return the error for a request that found no worker of a fleet to take it."""
    kind = HandshakeError if failure.certain else WorkerTimeoutError
    return kind(
        f"{endpoint}: within {timeout:g} s no worker of the fleet took the request; it was not "
        f"applied. {failure.reason}Check that the fleet runs: {command('info', endpoint)}"
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
