"""ROUTER sockets that echo each message, as the lower bound of what a worker costs.

    python -m benchmarks.live.echo echo|python-echo --endpoints FILE [--router ENDPOINT]

``echo`` is compiled code, ``python-echo`` plain pyzmq. Neither decodes what it receives.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from streamlstm.loadtest.libzmq import SNDMORE, compiled, zmq_errno, zmq_recv, zmq_send

ROOM = 2**17
ANY_PORT = "tcp://127.0.0.1:*"


@compiled
def _echo(socket: int, identity: Any, frame: Any) -> Any:
    """Echo all messages without end; return errno if libzmq fails."""
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
    """Echo all messages in compiled code, which waits inside libzmq."""
    number = _echo(socket.underlying, np.zeros(256, np.uint8), np.zeros(ROOM, np.uint8))
    raise SystemExit(f"echo: libzmq says {zmq.strerror(number)}")


def python_echo(socket: zmq.Socket[bytes]) -> None:
    """Echo all messages in plain Python."""
    while True:
        socket.send_multipart(socket.recv_multipart())


def bind(endpoints: Path, router: str = ANY_PORT) -> zmq.Socket[bytes]:
    """Bind a ROUTER, and write where it is bound to a file.

    The file is renamed to its name, so that nobody reads a part of it.
    """
    socket = zmq.Context().socket(zmq.ROUTER)
    socket.bind(router)
    where = {"router": socket.get_string(zmq.LAST_ENDPOINT).rstrip("\0"), "pid": os.getpid()}
    unfinished = endpoints.with_suffix(".part")
    unfinished.write_text(json.dumps(where))
    unfinished.rename(endpoints)
    return socket


SERVERS = {"echo": echo, "python-echo": python_echo}


def main() -> None:
    """Serve until a signal ends the process, without any cleanup."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", 1)[0])
    parser.add_argument("kind", choices=SERVERS)
    parser.add_argument("--endpoints", type=Path, required=True)
    parser.add_argument("--router", default=ANY_PORT, metavar="ENDPOINT")
    arguments = parser.parse_args()
    SERVERS[arguments.kind](bind(arguments.endpoints, arguments.router))


if __name__ == "__main__":
    main()
