"""Greedy clients: each keeps as many requests in flight as it may, whatever the replies say.

All of them are one thread of compiled code, and several requests are one system call, so that they
take as little as possible of the machine that they share with the worker.
"""

import threading
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np

from streamlstm.loadtest import zmtp
from streamlstm.loadtest.libzmq import compiled, now, part
from streamlstm.loadtest.load import ERRNO, SENT, WINDOW, LoadError, new_report
from streamlstm.loadtest.messages import Messages, joined
from streamlstm.loadtest.syscalls import read_event, wait

CLIENTS = 8
GRACE = 60.0  # seconds for the last replies: 4,000 of the largest requests take some
_CHUNK = 2**12  # bytes of requests that are sent at once, if there are several
_IDLE = 10_000_000  # ns to sleep at most
_LONG, _HEAD = 2, 9  # of a frame, as in zmtp.py

# The cells that the thread of the load and its owner share.
_STOP, _REPLIES, _ERRORS, _IN_FLIGHT = range(4)


class Count(NamedTuple):
    """Replies to greedy clients, and how many of them were errors (``busy`` is one)."""

    replies: int
    errors: int


class Greedy:
    """Clients that send the same requests without end, until the end of a ``with`` block.

    Parameters
    ----------
    endpoint : str
        Of a ROUTER.
    requests : list of bytes
        Sent in turn by all clients.
    clients, window : int
        Number of connections, and requests that each has in flight.

    Raises
    ------
    LoadError
        At the end of the block, if a connection failed or requests were not answered.
    """

    def __init__(
        self, endpoint: str, requests: list[bytes], clients: int = CLIENTS, window: int = WINDOW
    ) -> None:
        self._endpoint = endpoint
        self._clients = zmtp.Clients(endpoint, clients)
        self._cells, self._report = np.zeros(4, np.int64), new_report()
        longest = max(map(len, requests))
        at_once = max(1, min(_CHUNK // longest, window // 8))
        chunks = _chunks(zmtp.framed(_messages(requests)), at_once)
        arguments = (self._clients.connections, chunks, at_once, window)
        self._thread = threading.Thread(
            target=_run, args=(*arguments, self._cells, self._report, int(GRACE * 1e9))
        )

    def count(self) -> Count:
        """Return the replies so far."""
        return Count(int(self._cells[_REPLIES]), int(self._cells[_ERRORS]))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._cells[_STOP] = 1
        self._thread.join()
        self._clients.close()
        if self._report[ERRNO] or self._cells[_IN_FLIGHT]:
            raise LoadError(
                f"{self._endpoint}: {self._cells[_IN_FLIGHT]} requests of greedy clients were not "
                f"answered, errno {self._report[ERRNO]}"
            )


def _messages(frames: list[bytes]) -> Messages:
    nothing = np.zeros(0, np.uint8)
    return Messages(*joined(frames), nothing, nothing, nothing)


def _chunks(framed: Messages, at_once: int) -> Messages:
    """Join ``at_once`` frames each to what is sent at once."""
    frames = [framed.frames[start:end].tobytes() for start, end in pairwise(framed.frame_at)]
    starts = range(0, len(frames), at_once)
    return _messages(
        [b"".join(frames[(n + start) % len(frames)] for n in range(at_once)) for start in starts]
    )


# --- compiled ------------------------------------------------------------------------------------


@compiled
def _run(
    connections: Any, messages: Any, at_once: int, window: int, cells: Any, report: Any, grace: int
) -> None:
    clients, kinds = connections.descriptors.size, messages[1].size - 1
    clock, timeout = np.zeros(2, np.int64), np.zeros(2, np.int64)
    timeout[1] = _IDLE
    in_flight = np.zeros(clients, np.int64)
    latest = 0
    while report[ERRNO] == 0:
        stopping = cells[_STOP] != 0
        if stopping and latest == 0:
            latest = now(clock) + grace
        if stopping and (cells[_IN_FLIGHT] == 0 or now(clock) > latest):
            return
        for client in range(clients):
            while not stopping and in_flight[client] + at_once <= window:
                if not zmtp.put(connections, client, messages, report[SENT] % kinds, report):
                    break
                in_flight[client] += at_once
                cells[_IN_FLIGHT] += at_once
        for n in range(wait(connections, timeout, report)):
            client, is_ending = read_event(connections, n)
            zmtp.push(connections, client, messages, report)
            more = 2
            while more == 2 or (more == 1 and is_ending):
                more = zmtp.pull(connections, client, report)
                count = _skip_frames(connections, client, cells)
                in_flight[client] -= count
                cells[_IN_FLIGHT] -= count
                cells[_REPLIES] += count


@part
def _skip_frames(connections: Any, client: int, cells: Any) -> Any:
    """Take all complete frames out of a client's inbox; return how many."""
    box, (begin, end) = connections.inbox[client], connections.unread[client]
    count = 0
    while end - begin >= 2:
        head = 2
        size: Any = np.int64(box[begin + 1])
        if box[begin] == _LONG:
            head = _HEAD
            if end - begin < head:
                break
            for i in range(begin + 2, begin + head):
                size = size << 8 | box[i]
        if end - begin < head + size:
            break
        if size > 3 and box[begin + head + 1] == 0xCC and box[begin + head + 2] == 0xFF:
            cells[_ERRORS] += 1
        begin += head + size
        count += 1
    connections.unread[client, 0] = begin
    return count
