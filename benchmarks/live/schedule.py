"""Questions of many clients at the times of a schedule, whether the answers come in time or not.

The time of an answer is counted from when its question should have been sent, so that a worker that
stalls is not spared the questions that a waiting client would not have asked meanwhile.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from . import zmtp
from .libzmq import compiled, now
from .load import (
    BAD_SIZE,
    ELAPSED,
    ERRNO,
    GRACE,
    IN_TIME,
    KEPT,
    ROOM,
    WINDOW,
    WRONG,
    LoadError,
    Outcome,
    check,
    judge,
    new_report,
)
from .messages import Messages
from .system import news, wait

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
    clients: zmtp.Clients, messages: Messages, rate: float, seconds: float, seed: int = 0
) -> Latencies:
    """Ask ``rate`` questions a second, with exponential gaps, the clients taking turns.

    Parameters
    ----------
    clients : Clients
        With nothing under way.
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
    outcome, times = _ask(clients, messages, due, due[-1] / 1e9 + GRACE, count)
    if outcome.sent < count:
        raise LoadError(f"{count - outcome.sent} of {count} questions could not be sent")
    return times


def saturated(
    clients: zmtp.Clients, messages: Messages, seconds: float, window: int = WINDOW
) -> Outcome:
    """Keep ``window`` questions of many clients under way: what can be done for them.

    Each small message of a connection of its own costs a call of the system at both ends; those
    of a single connection travel together. So this is less than one client can have alone.
    """
    due = np.zeros(int(MOST * seconds), np.int64)
    return _ask(clients, messages, due, seconds, window)[0]


def _ask(
    clients: zmtp.Clients, messages: Messages, due: Any, seconds: float, window: int
) -> tuple[Outcome, Latencies]:
    report, answer = new_report(), np.zeros(ROOM + KEPT, np.uint8)
    taken, late = np.zeros(len(due), np.int64), np.zeros(len(due), np.int64)
    limits = np.array([seconds * 1e9, (seconds + GRACE) * 1e9, window], np.int64)
    framed = zmtp.framed(messages)
    with _punctual():
        _scheduled(clients.lines, framed, due, limits, taken, late, answer, report)
    outcome = check(report, answer, clients.endpoint)
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
    lines: Any,
    messages: Any,
    due: Any,
    limits: Any,
    taken: Any,
    late: Any,
    answer: Any,
    report: Any,
) -> None:
    end, latest, window = limits
    clients, kinds = lines.descriptors.size, messages[4].size
    clock, timeout = np.zeros(2, np.int64), np.zeros(2, np.int64)
    answered = np.zeros(clients, np.int64)  # of each client, whose question k is k * clients + c
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
        timeout[1] = _IDLE
        for _ in range(clients if asking else 0):  # then answers are looked for
            if sent == due.size or sent - total >= window:
                break
            time = now(clock) - start
            timeout[1] = min(max(due[sent] - time, 0), _IDLE)
            if timeout[1] > 0:
                break
            if not zmtp.put(lines, sent % clients, messages, sent % kinds, report):
                timeout[1] = _IDLE  # until there is room, which is news
                break
            late[sent] = time - due[sent]
            sent += 1
        for n in range(wait(lines, timeout, report)):
            client, is_ending = news(lines, n)
            zmtp.push(lines, client, messages, report)
            more = 2
            # News are told once. To have read less than there was room for is to have read all,
            # but for an end that may have come with it.
            while more == 2 or (more == 1 and is_ending):
                more = zmtp.pull(lines, client, report)
                time = now(clock) - start
                while True:
                    size = zmtp.next_frame(lines, client, answer, report)
                    if size < 0:
                        break
                    question = answered[client] * clients + client
                    if question >= sent:
                        report[WRONG] += 1  # nothing was asked
                        report[BAD_SIZE] = report[BAD_SIZE] or max(size, 1)
                        return
                    taken[question] = time - due[question]
                    judge(answer, size, messages, question % kinds, report)
                    answered[client] += 1
                    total += 1
