"""What a worker is held against, each in a process of its own.

    python -m benchmarks.live.servers echo|python-echo --endpoints FILE

``echo`` is the least that a ROUTER can do, in compiled code: what comes goes back. ``python-echo``
is the same in plain pyzmq. Neither reads what it receives. The worker that most people would write
stands in plain_worker.py.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from .libzmq import SNDMORE, compiled, zmq_errno, zmq_recv, zmq_send

ROOM = 2**17


@compiled
def _echo(socket: int, identity: Any, frame: Any) -> Any:
    """Send back what comes, for ever; returns what errno says when libzmq fails."""
    while True:
        named = zmq_recv(socket, identity.ctypes.data, identity.size, 0)
        if named < 0:
            return zmq_errno()
        size = zmq_recv(socket, frame.ctypes.data, frame.size, 0)
        if size < 0:
            return zmq_errno()
        if zmq_send(socket, identity.ctypes.data, named, SNDMORE) < 0:
            return zmq_errno()
        if zmq_send(socket, frame.ctypes.data, min(size, frame.size), 0) < 0:
            return zmq_errno()


def echo(socket: zmq.Socket[bytes]) -> None:
    """Send back what comes, in compiled code; waits inside libzmq while nothing does."""
    number = _echo(socket.underlying, np.zeros(256, np.uint8), np.zeros(ROOM, np.uint8))
    raise SystemExit(f"echo: libzmq says {zmq.strerror(number)}")


def python_echo(socket: zmq.Socket[bytes]) -> None:
    """Send back what comes, as one writes it in Python."""
    while True:
        socket.send_multipart(socket.recv_multipart())


def bind(endpoints: Path) -> zmq.Socket[bytes]:
    """Bind a ROUTER on a port that the system chooses, and write where it is.

    The file is renamed to its place: whoever waits for it never reads half of it.
    """
    socket = zmq.Context().socket(zmq.ROUTER)
    socket.bind("tcp://127.0.0.1:*")
    where = {"router": socket.get_string(zmq.LAST_ENDPOINT).rstrip("\0"), "pid": os.getpid()}
    unfinished = endpoints.with_suffix(".part")
    unfinished.write_text(json.dumps(where))
    unfinished.rename(endpoints)
    return socket


SERVERS = {"echo": echo, "python-echo": python_echo}


def main() -> None:
    """Serve until a signal ends the process; what it holds is the system's to free."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", 1)[0])
    parser.add_argument("kind", choices=SERVERS)
    parser.add_argument("--endpoints", type=Path, required=True)
    arguments = parser.parse_args()
    SERVERS[arguments.kind](bind(arguments.endpoints))


if __name__ == "__main__":
    main()
