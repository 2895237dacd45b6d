"""Closed-loop load: compiled code sends requests and checks replies, without the GIL.

Every function ends at a given time, whatever the server does. A reply counts if it has the right
length and begins as the reply to its request must begin (messages.py); the replies of one
connection arrive in the order of its requests.
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

# Requests in flight. A queue of ZeroMQ holds 1,000 messages, but its sender learns in batches of
# 500 what was read, so 500 are safe: with 800, a server that is faster than the network drops
# replies.
WINDOW = 500
ROOM = 2**17  # bytes for a reply
KEPT = 200  # bytes of the first wrong reply that are kept
GRACE = 10.0  # seconds to wait for the missing replies at the end
_WAIT_MS = 100

# The report of a compiled function, an int64 array.
(
    SENT,
    ANSWERED,  # correct replies
    IN_TIME,  # of them, those that arrived while requests were sent
    ELAPSED,  # ns for which requests were sent
    ERRORS,  # replies of kind ERROR
    WRONG,  # other wrong replies
    ERRNO,  # of a failed call of libzmq or the system, which ends the function
    BAD_SIZE,  # bytes of the first wrong reply, kept in the buffer
) = range(8)


class Outcome(NamedTuple):
    """Result of a load."""

    sent: int
    answered: int
    rate: float  # replies per second
    refused: int = 0  # replies of kind ERROR
    first: bytes = b""  # the beginning of the first of them


class LoadError(Exception):
    """A reply was wrong or missing, or a call of libzmq or the system failed."""


def new_report() -> Any:
    """Return an empty report for a compiled function."""
    return np.zeros(8, np.int64)


def check(report: Any, reply: Any, who: str, refusals: bool = False) -> Outcome:
    """Return the outcome of a report; raise :class:`LoadError` if anything failed.

    With ``refusals`` replies of kind ERROR are counted, and no failure.
    """
    if report[ERRNO]:
        raise LoadError(f"{who}: a call failed: {zmq.strerror(int(report[ERRNO]))}")
    bad = report[WRONG] + (0 if refusals else report[ERRORS])
    first = bytes(reply[: min(report[BAD_SIZE], KEPT)])
    if bad:
        raise LoadError(
            f"{who}: {report[ERRORS]} replies are errors, {report[WRONG]} are not those that "
            f"were expected; the first of {report[BAD_SIZE]} bytes: {first!r}"
        )
    missing = report[SENT] - report[ANSWERED] - report[ERRORS]
    if missing:
        raise LoadError(f"{who}: {missing} of {report[SENT]} requests were not answered")
    seconds = max(int(report[ELAPSED]), 1) * 1e-9
    rate = float(report[IN_TIME]) / seconds
    sent, answered, refused = (int(report[n]) for n in (SENT, ANSWERED, ERRORS))
    return Outcome(sent, answered, rate, refused, first)


def throughput(
    socket: Any, messages: Messages, seconds: float, count: int = 2**62, window: int = WINDOW
) -> Outcome:
    """Keep ``window`` requests in flight for ``seconds``, or until ``count`` were sent.

    Parameters
    ----------
    socket : zmq.Socket
        A connected DEALER with nothing in flight.
    messages : Messages
        Sent in turn.
    seconds, count, window
        Bounds.

    Raises
    ------
    LoadError
        If a reply was wrong or missing.
    """
    report, reply = new_report(), np.zeros(ROOM, np.uint8)
    item = poll_item(socket, POLLIN)
    duration, grace = int(seconds * 1e9), int(GRACE * 1e9)
    _throughput(item, messages, count, window, duration, grace, reply, report)
    return check(report, reply, socket.get_string(zmq.LAST_ENDPOINT))


def round_trips(socket: Any, messages: Messages, seconds: float, count: int) -> Any:
    """Send one request at a time; return the round trips in ns.

    Sends at most ``count`` requests in at most ``seconds``. The socket must have a RCVTIMEO.
    """
    report, reply = new_report(), np.zeros(ROOM, np.uint8)
    taken = np.zeros(count, np.int64)
    _round_trips(socket.underlying, messages, int(seconds * 1e9), taken, reply, report)
    asked = check(report, reply, socket.get_string(zmq.LAST_ENDPOINT)).sent
    return taken[:asked]


def feed(socket: Any, messages: Messages, seconds: float, first: int = 0) -> int:
    """Push messages in turn, from ``first`` on, as fast as they are accepted; return the number."""
    report = new_report()
    item = poll_item(socket, POLLOUT)
    _feed(item, messages, first, int(seconds * 1e9), report)
    if report[ERRNO]:
        raise LoadError(f"push: libzmq says {zmq.strerror(int(report[ERRNO]))}")
    return int(report[SENT])


def listen(socket: Any, seconds: float) -> int:
    """Return the number of predictions that a subscriber receives in ``seconds``."""
    report, reply = new_report(), np.zeros(ROOM, np.uint8)
    _listen(poll_item(socket, POLLIN), int(seconds * 1e9), reply, report)
    report[SENT] = report[ANSWERED]
    return check(report, reply, "subscriber").answered


# --- compiled ------------------------------------------------------------------------------------


@part
def check_reply(reply: Any, size: int, messages: Any, n: int, report: Any) -> None:
    """Check and count the reply to message ``n``; the first wrong one stays in the buffer.

    Where the size of a reply is not known, 0, any PREDICTION is right.
    """
    _, _, heads, head_at, sizes = messages
    behind = min(report[BAD_SIZE], KEPT)
    if sizes[n] == 0 and size > 3 and reply[behind + 1] == 0xCC and reply[behind + 2] == 0x81:
        report[ANSWERED] += 1
        return
    difference = np.uint8(0)
    if size == sizes[n]:
        start = head_at[n]
        for i in range(head_at[n + 1] - start):  # without a break, so that it is vectorized
            difference |= reply[behind + i] ^ heads[start + i]
        if difference == 0:
            report[ANSWERED] += 1
            return
    if report[BAD_SIZE] == 0:
        report[BAD_SIZE] = max(size, 1)
    is_error = size > 3 and reply[behind + 1] == 0xCC and reply[behind + 2] == 0xFF
    report[ERRORS if is_error else WRONG] += 1


@part
def receive(socket: int, reply: Any, flags: int, report: Any) -> Any:
    """Receive one frame; return its size, -1 without a frame, -2 if libzmq failed.

    The first wrong reply stays in the buffer; later ones are written after it.
    """
    behind = min(report[BAD_SIZE], KEPT)
    size = zmq_recv(socket, reply.ctypes.data + behind, reply.size - behind, flags)
    if size >= 0:
        return size
    number = zmq_errno()
    if number in (EAGAIN, EINTR):
        return -1
    report[ERRNO] = number
    return -2


@part
def send(socket: int, messages: Any, n: int, report: Any) -> bool:
    """Send message ``n``; return False if the queue is full or libzmq failed."""
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
    reply: Any,
    report: Any,
) -> None:
    socket, kinds = item[0], messages[4].size
    clock = np.zeros(2, np.int64)
    start = now(clock)
    sent = received = 0
    sending = True
    while report[ERRNO] == 0:
        time = now(clock)
        if sending and (time >= start + duration or sent >= count):
            sending = False
            report[IN_TIME], report[ELAPSED] = received, time - start
        if not sending and (received == sent or time > start + duration + grace):
            return
        while sending and sent < count and sent - received < window:
            if not send(socket, messages, sent % kinds, report):
                break
            sent += 1
        pending = sent - received
        for _ in range(pending):
            size = receive(socket, reply, DONTWAIT, report)
            if size < 0:
                break
            check_reply(reply, size, messages, received % kinds, report)
            received += 1
        if pending == sent - received:  # nothing arrived: sleep until something does
            number = wait(item, _WAIT_MS)
            if number:
                report[ERRNO] = number


@compiled
def _round_trips(
    socket: int, messages: Any, duration: int, taken: Any, reply: Any, report: Any
) -> None:
    kinds = messages[4].size
    clock = np.zeros(2, np.int64)
    end = now(clock) + duration
    for n in range(taken.size):
        begin = now(clock)
        if begin >= end or not send(socket, messages, n % kinds, report):
            return
        size = receive(socket, reply, 0, report)  # waits for RCVTIMEO at most
        taken[n] = now(clock) - begin
        if size < 0:
            return
        check_reply(reply, size, messages, n % kinds, report)


@compiled
def _feed(item: Any, messages: Any, first: int, duration: int, report: Any) -> None:
    kinds = messages[4].size
    clock = np.zeros(2, np.int64)
    end = now(clock) + duration
    while report[ERRNO] == 0 and now(clock) < end:
        for _ in range(100):  # between two looks at the clock
            if not send(item[0], messages, (first + report[SENT]) % kinds, report):
                break
        else:
            continue
        number = wait(item, _WAIT_MS)
        if number:
            report[ERRNO] = number


@compiled
def _listen(item: Any, duration: int, reply: Any, report: Any) -> None:
    clock = np.zeros(2, np.int64)
    end = now(clock) + duration
    while report[ERRNO] == 0 and now(clock) < end:
        heard = 0
        while heard < 1000 and receive(item[0], reply, DONTWAIT, report) >= 0:
            heard += 1  # the topic; the second frame of a message has always come with the first
            if receive(item[0], reply, 0, report) > 3 and reply[1] == 0xCC and reply[2] == 0x81:
                report[ANSWERED] += 1
            else:
                report[WRONG] += 1
        if heard == 0:
            number = wait(item, _WAIT_MS)
            if number:
                report[ERRNO] = number
