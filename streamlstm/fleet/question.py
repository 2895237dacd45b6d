"""Asks the supervisor of a fleet, from another process: what there is, or to change it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import zmq

from .. import wire
from ..errors import BadValueError, WorkerTimeoutError
from .endpoints import is_listening, read_fleet, starting

WAIT_SECONDS = 5.0


def ask(endpoints: Path, *question: Any) -> dict[str, Any]:
    """Return the status of a fleet after a question.

    Parameters
    ----------
    endpoints : Path
        The file that the fleet wrote.
    *question
        ``"status"``; ``"scale", workers``; ``"drain", worker``; ``"move", partition, worker``.

    Raises
    ------
    EndpointError
        If the file is not that of a fleet.
    BadValueError
        If the supervisor refuses, with the reason; nothing has changed.
    WorkerTimeoutError
        If it does not answer within 5 seconds.
    """
    control = read_fleet(endpoints)["fleet"]
    if not is_listening(control) and (process := starting(endpoints)) is not None:
        raise WorkerTimeoutError(
            f"{endpoints}: the fleet (process {process}) takes no connections now; its log says why"
        )
    if not is_listening(control):
        raise WorkerTimeoutError(
            f"{endpoints}: the fleet that wrote it has ended; start it again "
            "(streamlstm fleet MODEL), or name the file of one that runs: --endpoints FILE"
        )
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.RCVTIMEO, int(WAIT_SECONDS * 1000))
        socket.connect(control)
        socket.send(wire.encode_control("ask", *question))
        try:
            reply = wire.decode_control(socket.recv())
        except zmq.Again:
            raise WorkerTimeoutError(
                f"{endpoints}: the fleet does not answer; is its process still there?"
            ) from None
    if reply.name == "refused":
        raise BadValueError(reply.fields[0])
    found: dict[str, Any] = reply.fields[0]
    return found
