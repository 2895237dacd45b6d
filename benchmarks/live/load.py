"""The load: questions asked and answers checked by compiled code, with the GIL released.

Every function ends at a time that it is given, whatever the other side does. An answer counts if it
has the right length and begins as the answer to its question has to begin (messages.py); the
answers of one connection come in the order of its questions.
"""

from typing import Any, NamedTuple

import numpy as np
import zmq

from .libzmq import (
    DONTWAIT,
    EAGAIN,
    EINTR,
    POLLIN,
    POLLOUT,
    compiled,
    now,
    part,
    poll_item,
    wait,
    zmq_errno,
    zmq_recv,
    zmq_send,
)
from .messages import Messages

# Questions under way. A queue of ZeroMQ holds 1,000, but is told what was read in lots of 500, so
# 500 are sure: with 800, a server that is quicker than the network drops answers.
WINDOW = 500
ROOM = 2**17  # bytes of an answer
KEPT = 200  # of the first one that was not right
GRACE = 10.0  # seconds for which answers that are owed are waited for
_WAIT_MS = 100

# What a compiled function reports, in one int64 array.
(
    SENT,
    ANSWERED,  # all that came and were right
    IN_TIME,  # of them, those that came while questions were asked
    ELAPSED,  # ns for which questions were asked
    ERRORS,  # answers that say ERROR
    WRONG,  # answers to something else
    ERRNO,  # of a call that failed, of libzmq or the system, which ends the function
    BAD_SIZE,  # bytes of the first answer that was not right, kept in the buffer
) = range(8)


class Outcome(NamedTuple):
    """What a load did."""

    sent: int
    answered: int
    rate: float  # answers a second


class LoadError(Exception):
    """An answer was wrong or did not come, or a call of libzmq or the system failed."""


def new_report() -> Any:
    """Return room for what a compiled function reports."""
    return np.zeros(8, np.int64)


def check(report: Any, answer: Any, who: str) -> Outcome:
    """Return what was done, or raise :class:`LoadError`: a benchmark of errors is none."""
    if report[ERRNO]:
        raise LoadError(f"{who}: a call failed: {zmq.strerror(int(report[ERRNO]))}")
    bad = report[ERRORS] + report[WRONG]
    if bad:
        first = bytes(answer[: min(report[BAD_SIZE], KEPT)])
        raise LoadError(
            f"{who}: {report[ERRORS]} answers are errors, {report[WRONG]} are not those that "
            f"were expected; the first of {report[BAD_SIZE]} bytes: {first!r}"
        )
    if report[ANSWERED] != report[SENT]:
        missing = report[SENT] - report[ANSWERED]
        raise LoadError(f"{who}: {missing} of {report[SENT]} questions were not answered")
    seconds = max(int(report[ELAPSED]), 1) * 1e-9
    return Outcome(int(report[SENT]), int(report[ANSWERED]), float(report[IN_TIME]) / seconds)


def throughput(
    socket: Any, messages: Messages, seconds: float, count: int = 2**62, window: int = WINDOW
) -> Outcome:
    """Keep ``window`` questions under way for so long, or until ``count`` were asked.

    Parameters
    ----------
    socket : zmq.Socket
        A connected DEALER with nothing under way.
    messages : Messages
        Asked in turn.
    seconds, count, window
        Bounds.

    Raises
    ------
    LoadError
        If one answer was not right or did not come.
    """
    report, answer = new_report(), np.zeros(ROOM, np.uint8)
    item = poll_item(socket, POLLIN)
    duration, grace = int(seconds * 1e9), int(GRACE * 1e9)
    _throughput(item, messages, count, window, duration, grace, answer, report)
    return check(report, answer, socket.get_string(zmq.LAST_ENDPOINT))


def round_trips(socket: Any, messages: Messages, seconds: float, count: int) -> Any:
    """Ask one question at a time and return how long each took, in ns.

    At most ``count`` questions in at most ``seconds``. The socket has to have a RCVTIMEO.
    """
    report, answer = new_report(), np.zeros(ROOM, np.uint8)
    taken = np.zeros(count, np.int64)
    _round_trips(socket.underlying, messages, int(seconds * 1e9), taken, answer, report)
    asked = check(report, answer, socket.get_string(zmq.LAST_ENDPOINT)).sent
    return taken[:asked]


def feed(socket: Any, messages: Messages, seconds: float, first: int = 0) -> int:
    """Push messages in turn, from ``first`` on, as fast as they are taken; return how many."""
    report = new_report()
    item = poll_item(socket, POLLOUT)
    _feed(item, messages, first, int(seconds * 1e9), report)
    if report[ERRNO]:
        raise LoadError(f"push: libzmq says {zmq.strerror(int(report[ERRNO]))}")
    return int(report[SENT])


def listen(socket: Any, seconds: float) -> int:
    """Return how many predictions a subscriber hears in so long."""
    report, answer = new_report(), np.zeros(ROOM, np.uint8)
    _listen(poll_item(socket, POLLIN), int(seconds * 1e9), answer, report)
    report[SENT] = report[ANSWERED]
    return check(report, answer, "subscriber").answered


# --- compiled ------------------------------------------------------------------------------------


@part
def judge(answer: Any, size: int, messages: Any, n: int, report: Any) -> None:
    """Count an answer to message ``n`` by what it is; the first bad one stays in the buffer."""
    _, _, heads, head_at, sizes = messages
    behind = min(report[BAD_SIZE], KEPT)
    difference = np.uint8(0)
    if size == sizes[n]:
        start = head_at[n]
        for i in range(head_at[n + 1] - start):  # to the end: so it is done in vectors
            difference |= answer[behind + i] ^ heads[start + i]
        if difference == 0:
            report[ANSWERED] += 1
            return
    if report[BAD_SIZE] == 0:
        report[BAD_SIZE] = max(size, 1)
    is_error = size > 3 and answer[behind + 1] == 0xCC and answer[behind + 2] == 0xFF
    report[ERRORS if is_error else WRONG] += 1


@part
def take(socket: int, answer: Any, flags: int, report: Any) -> Any:
    """Receive one frame: its bytes, -1 if there is none, -2 if libzmq failed.

    Once an answer was bad, it is kept and others go behind it.
    """
    behind = min(report[BAD_SIZE], KEPT)
    size = zmq_recv(socket, answer.ctypes.data + behind, answer.size - behind, flags)
    if size >= 0:
        return size
    number = zmq_errno()
    if number in (EAGAIN, EINTR):
        return -1
    report[ERRNO] = number
    return -2


@part
def give(socket: int, messages: Any, n: int, report: Any) -> bool:
    """Send message ``n``; False if that is not possible now, or if libzmq failed."""
    frames, frame_at, _, _, _ = messages
    start = frame_at[n]
    if zmq_send(socket, frames.ctypes.data + start, frame_at[n + 1] - start, DONTWAIT) >= 0:
        report[SENT] += 1
        return True
    number = zmq_errno()
    if number not in (EAGAIN, EINTR):
        report[ERRNO] = number
    return False


@compiled
def _throughput(
    item: Any,
    messages: Any,
    count: int,
    window: int,
    duration: int,
    grace: int,
    answer: Any,
    report: Any,
) -> None:
    socket, kinds = item[0], messages[4].size
    clock = np.zeros(2, np.int64)
    start = now(clock)
    sent = received = 0
    asking = True
    while report[ERRNO] == 0:
        time = now(clock)
        if asking and (time >= start + duration or sent >= count):
            asking = False
            report[IN_TIME], report[ELAPSED] = received, time - start
        if not asking and (received == sent or time > start + duration + grace):
            return
        while asking and sent < count and sent - received < window:
            if not give(socket, messages, sent % kinds, report):
                break
            sent += 1
        owed = sent - received
        for _ in range(owed):
            size = take(socket, answer, DONTWAIT, report)
            if size < 0:
                break
            judge(answer, size, messages, received % kinds, report)
            received += 1
        if owed == sent - received:  # nothing came: sleep until something does
            number = wait(item, _WAIT_MS)
            if number:
                report[ERRNO] = number


@compiled
def _round_trips(
    socket: int, messages: Any, duration: int, taken: Any, answer: Any, report: Any
) -> None:
    kinds = messages[4].size
    clock = np.zeros(2, np.int64)
    end = now(clock) + duration
    for n in range(taken.size):
        begin = now(clock)
        if begin >= end or not give(socket, messages, n % kinds, report):
            return
        size = take(socket, answer, 0, report)  # waits for RCVTIMEO at most
        taken[n] = now(clock) - begin
        if size < 0:
            return
        judge(answer, size, messages, n % kinds, report)


@compiled
def _feed(item: Any, messages: Any, first: int, duration: int, report: Any) -> None:
    kinds = messages[4].size
    clock = np.zeros(2, np.int64)
    end = now(clock) + duration
    while report[ERRNO] == 0 and now(clock) < end:
        for _ in range(100):  # between two looks at the clock
            if not give(item[0], messages, (first + report[SENT]) % kinds, report):
                break
        else:
            continue
        number = wait(item, _WAIT_MS)
        if number:
            report[ERRNO] = number


@compiled
def _listen(item: Any, duration: int, answer: Any, report: Any) -> None:
    clock = np.zeros(2, np.int64)
    end = now(clock) + duration
    while report[ERRNO] == 0 and now(clock) < end:
        heard = 0
        while heard < 1000 and take(item[0], answer, DONTWAIT, report) >= 0:
            heard += 1  # the topic; the second frame of a message has always come with the first
            if take(item[0], answer, 0, report) > 3 and answer[1] == 0xCC and answer[2] == 0x81:
                report[ANSWERED] += 1
            else:
                report[WRONG] += 1
        if heard == 0:
            number = wait(item, _WAIT_MS)
            if number:
                report[ERRNO] = number
