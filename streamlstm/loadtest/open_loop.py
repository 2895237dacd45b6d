"""Open-loop load: many clients send requests on a schedule, whether replies arrive or not.

The latency of a reply is measured from the time at which its request was due. So a stall of the
worker counts for all requests that were due meanwhile (no coordinated omission).
"""

import ctypes
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from . import zmtp
from .libzmq import EINTR, compiled, now
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
    check_reply,
    new_report,
)
from .messages import Messages
from .syscalls import read_event, wait

MAX_RATE = 3_000_000  # requests per second for which there is room
_IDLE = 100_000_000  # ns to sleep at most
_PR_SET_TIMERSLACK = 29


class Latencies(NamedTuple):
    """Latencies of a scheduled load.

    Attributes
    ----------
    taken : int64[N]
        ns from the time at which a request was due to its reply.
    late : int64[N]
        ns by which the load itself sent it late; part of ``taken``.
    outcome : Outcome
    """

    taken: Any
    late: Any
    outcome: Outcome


def scheduled(
    clients: zmtp.Clients,
    messages: Messages,
    rate: float,
    seconds: float,
    seed: int = 0,
    refusals: bool = False,
) -> Latencies:
    """Send ``rate`` requests a second with exponential gaps; the clients take turns.

    Parameters
    ----------
    clients : Clients
        With nothing in flight.
    messages : Messages
        Sent in turn.
    rate, seconds
        Of all clients together.
    seed : int
        Seed of the schedule.
    refusals : bool
        Whether requests may be refused, which is counted.

    Raises
    ------
    LoadError
        If a request could not be sent, or a reply was wrong or missing.
    """
    count = max(1, int(rate * seconds))
    gaps = np.random.default_rng(seed).exponential(1e9 / rate, count)
    due = np.cumsum(gaps).astype(np.int64)
    # Every request of the schedule is sent, however late: a stall must not hide any.
    times = _run(clients, messages, due, due[-1] / 1e9 + GRACE, count, refusals)
    if times.outcome.sent < count:
        raise LoadError(f"{count - times.outcome.sent} of {count} requests could not be sent")
    return times


def saturated(
    clients: zmtp.Clients,
    messages: Messages,
    seconds: float,
    window: int = WINDOW,
    refusals: bool = False,
) -> Outcome:
    """Keep ``window`` requests of many clients in flight, to measure the capacity.

    Each small message of a separate connection costs a system call at both ends, while those of
    one connection are batched. So this is less than the capacity for one client.
    """
    due = np.zeros(int(MAX_RATE * seconds), np.int64)
    return _run(clients, messages, due, seconds, window, refusals).outcome


def _run(
    clients: zmtp.Clients,
    messages: Messages,
    due: Any,
    seconds: float,
    window: int,
    refusals: bool,
) -> Latencies:
    report, reply = new_report(), np.zeros(ROOM + KEPT, np.uint8)
    taken, late = np.zeros(len(due), np.int64), np.zeros(len(due), np.int64)
    limits = np.array([seconds * 1e9, (seconds + GRACE) * 1e9, window], np.int64)
    framed = zmtp.framed(messages)

    def load() -> None:
        with _precise_wakeups():
            _scheduled(clients.connections, framed, due, limits, taken, late, reply, report)

    # Compiled code sees no Ctrl-C; this thread does, and waits meanwhile.
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(load)
        try:
            running.result()
        except BaseException:
            report[ERRNO] = EINTR  # ends it
            raise
    outcome = check(report, reply, clients.endpoint, refusals)
    return Latencies(taken[: outcome.sent], late[: outcome.sent], outcome)


@contextmanager
def _precise_wakeups() -> Iterator[None]:
    """Set the timer slack of this thread to 1 ns; by default Linux wakes it up to 50 us late."""
    system = ctypes.CDLL(None)
    system.prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    try:
        yield
    finally:
        system.prctl(_PR_SET_TIMERSLACK, 0, 0, 0, 0)  # 0 restores the default


@compiled
def _scheduled(
    connections: Any,
    messages: Any,
    due: Any,
    limits: Any,
    taken: Any,
    late: Any,
    reply: Any,
    report: Any,
) -> None:
    end, latest, window = limits
    clients, kinds = connections.descriptors.size, messages[4].size
    clock, timeout = np.zeros(2, np.int64), np.zeros(2, np.int64)
    answered = np.zeros(clients, np.int64)  # of each client c, whose request k is k * clients + c
    start = now(clock)
    sent = total = 0
    sending = True
    while report[ERRNO] == 0:
        time = now(clock) - start
        if sending and (sent == due.size or time > end):
            sending = False
            report[IN_TIME], report[ELAPSED] = total, time
        if not sending and (total == sent or time > latest):
            return
        timeout[1] = _IDLE
        for _ in range(clients if sending else 0):  # then replies are read
            if sent == due.size or sent - total >= window:
                break
            time = now(clock) - start
            timeout[1] = min(max(due[sent] - time, 0), _IDLE)
            if timeout[1] > 0:
                break
            if not zmtp.put(connections, sent % clients, messages, sent % kinds, report):
                timeout[1] = _IDLE  # until there is room, which is an event
                break
            late[sent] = time - due[sent]
            sent += 1
        for n in range(wait(connections, timeout, report)):
            client, is_ending = read_event(connections, n)
            zmtp.push(connections, client, messages, report)
            more = 2
            # Events are edge-triggered. A read that did not fill the buffer has read everything,
            # except an end of the connection that may have arrived with it.
            while more == 2 or (more == 1 and is_ending):
                more = zmtp.pull(connections, client, report)
                time = now(clock) - start
                while True:
                    size = zmtp.next_frame(connections, client, reply, report)
                    if size < 0:
                        break
                    request = answered[client] * clients + client
                    if request >= sent:
                        report[WRONG] += 1  # a reply without a request
                        report[BAD_SIZE] = report[BAD_SIZE] or max(size, 1)
                        return
                    taken[request] = time - due[request]
                    check_reply(reply, size, messages, request % kinds, report)
                    answered[client] += 1
                    total += 1
