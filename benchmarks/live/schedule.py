"""Questions of many clients at the times of a schedule, whether the answers come in time or not.

The time of an answer is counted from when its question should have been sent, so that a worker that
stalls is not spared the questions that a waiting client would not have asked meanwhile.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import zmq

from .libzmq import DONTWAIT, EINTR, compiled, now, ppoll, zmq_errno
from .load import (
    ELAPSED,
    ERRNO,
    GRACE,
    IN_TIME,
    ROOM,
    WINDOW,
    WRONG,
    LoadError,
    Outcome,
    check,
    give,
    judge,
    new_report,
    take,
)
from .messages import Messages

MOST = 3_000_000  # questions a second for which there is room
_IDLE = 100_000_000  # ns to sleep at most
_PR_SET_TIMERSLACK = 29


class Latencies(NamedTuple):
    """Times of a scheduled load.

    Attributes
    ----------
    taken : int64[N]
        ns from when a question should have been sent to its answer.
    late : int64[N]
        ns by which the load itself sent it late; part of ``taken``.
    """

    taken: Any
    late: Any


def scheduled(
    sockets: list[Any], messages: Messages, rate: float, seconds: float, seed: int = 0
) -> Latencies:
    """Ask ``rate`` questions a second, with exponential gaps, the clients taking turns.

    Parameters
    ----------
    sockets : list of zmq.Socket
        Connected DEALERs with nothing under way.
    messages : Messages
        Asked in turn.
    rate, seconds
        Of all clients together.
    seed : int
        Of the schedule.

    Raises
    ------
    LoadError
        If one question could not be sent, or one answer was not right or did not come.
    """
    count = max(1, int(rate * seconds))
    gaps = np.random.default_rng(seed).exponential(1e9 / rate, count)
    due = np.cumsum(gaps).astype(np.int64)
    # Every question of the schedule is asked, however late: a stall must not hide any.
    outcome, times = _ask(sockets, messages, due, due[-1] / 1e9 + GRACE, count)
    if outcome.sent < count:
        raise LoadError(f"{count - outcome.sent} of {count} questions could not be sent")
    return times


def saturated(
    sockets: list[Any], messages: Messages, seconds: float, window: int = WINDOW
) -> Outcome:
    """Keep ``window`` questions of many clients under way: what can be done for them.

    Each small message of a connection of its own costs a call of the system at both ends; those
    of a single connection travel together. So this is less than one client can have alone.
    """
    due = np.zeros(int(MOST * seconds), np.int64)
    return _ask(sockets, messages, due, seconds, window)[0]


def _ask(
    sockets: list[Any], messages: Messages, due: Any, seconds: float, window: int
) -> tuple[Outcome, Latencies]:
    pointers = np.array([socket.underlying for socket in sockets], np.int64)
    descriptors = np.zeros((len(sockets), 2), np.int32)  # struct pollfd: fd, events and revents
    descriptors[:, 0] = [socket.getsockopt(zmq.FD) for socket in sockets]
    descriptors.view(np.int16)[:, 2] = 1  # POLLIN of the system
    report, answer = new_report(), np.zeros(ROOM, np.uint8)
    taken, late = np.zeros(len(due), np.int64), np.zeros(len(due), np.int64)
    limits = np.array([seconds * 1e9, (seconds + GRACE) * 1e9, window], np.int64)
    with _punctual():
        _scheduled(pointers, descriptors, messages, due, limits, taken, late, answer, report)
    outcome = check(report, answer, sockets[0].get_string(zmq.LAST_ENDPOINT))
    return outcome, Latencies(taken[: outcome.sent], late[: outcome.sent])


@contextmanager
def _punctual() -> Iterator[None]:
    """Let this thread wake up when it asked to; Linux adds 50 us otherwise."""
    system = ctypes.CDLL(None)
    system.prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    try:
        yield
    finally:
        system.prctl(_PR_SET_TIMERSLACK, 0, 0, 0, 0)  # 0 stands for what it was at first


@compiled
def _scheduled(
    sockets: Any,
    descriptors: Any,
    messages: Any,
    due: Any,
    limits: Any,
    taken: Any,
    late: Any,
    answer: Any,
    report: Any,
) -> None:
    end, latest, window = limits
    clients, kinds = sockets.size, messages[4].size
    clock, timeout = np.zeros(2, np.int64), np.zeros(2, np.int64)
    revents = descriptors.view(np.int16)
    answered = np.zeros(clients, np.int64)  # of each client, whose question k is k * clients + c
    asked = np.zeros(clients, np.uint8)  # clients that have sent since they were last read
    start = now(clock)
    sent = total = 0
    asking = True
    while report[ERRNO] == 0:
        time = now(clock) - start
        if asking and (sent == due.size or time > end):
            asking = False
            report[IN_TIME], report[ELAPSED] = total, time
        if not asking and (total == sent or time > latest):
            return
        while asking and sent < due.size and sent - total < window and due[sent] <= time:
            if not give(sockets[sent % clients], messages, sent % kinds, report):
                break
            late[sent] = time - due[sent]
            asked[sent % clients] = 1
            sent += 1
        # A socket's descriptor tells of news only once, and sending may have taken them: one that
        # has sent is read too, and each is read until there is nothing more.
        timeout[1] = _IDLE
        if asked.any():
            timeout[1] = 0
        elif asking and sent < due.size and sent - total < window:
            timeout[1] = min(max(due[sent] - (now(clock) - start), 0), _IDLE)
        if ppoll(descriptors.ctypes.data, clients, timeout.ctypes.data, 0) < 0:
            if zmq_errno() != EINTR:
                report[ERRNO] = zmq_errno()
            continue
        for client in range(clients):
            if revents[client, 3] == 0 and asked[client] == 0:
                continue
            asked[client] = 0
            while True:
                size = take(sockets[client], answer, DONTWAIT, report)
                if size < 0:
                    break
                n = answered[client] * clients + client
                if n >= sent:
                    report[WRONG] += 1  # nothing was asked
                    return
                taken[n] = now(clock) - start - due[n]
                judge(answer, size, messages, n % kinds, report)
                answered[client] += 1
                total += 1
