"""A PULL socket for the tests of publishers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import zmq

from streamlstm import wire

if TYPE_CHECKING:
    from .conftest import Sockets

HOURS = 9_000.0
Row = tuple[wire.StreamId, int, float]  # of an observation: stream, number, first feature


class PullSocket:
    """A PULL that returns what came, observation by observation and message by message."""

    def __init__(self, sockets: Sockets, folder: Path) -> None:
        self._sockets = sockets
        self.endpoint = f"ipc://{folder}/pull"  # where a publisher waits until it is opened
        self.messages: list[wire.Step | wire.Steps] = []

    def open(self) -> None:
        # not over ipc, where ZeroMQ 4.3.5 itself now and then loses what lingers
        self._bind("tcp://127.0.0.1:*")

    def open_late(self) -> None:
        self._bind(self.endpoint)

    def _bind(self, endpoint: str) -> None:
        self._socket = self._sockets.bind(zmq.PULL, endpoint)
        self.endpoint = self._socket.get_string(zmq.LAST_ENDPOINT).rstrip("\0")

    def take(self, observations: int) -> list[Row]:
        """Return stream, number and first feature of as many observations, and not one more."""
        rows = self.take_at_least(observations)
        assert len(rows) == observations
        return rows

    def take_at_least(self, observations: int) -> list[Row]:
        rows: list[Row] = []
        while len(rows) < observations:
            message = wire.decode_request(self._socket.recv())
            assert isinstance(message, wire.Step | wire.Steps)
            self.messages.append(message)
            if isinstance(message, wire.Step):
                rows.append((message.stream, message.seq, wire.from_floats(message.x)[0]))
            else:
                X = wire.from_floats(message.X).reshape(len(message.streams), -1)
                seqs = message.seqs or [0] * len(X)
                rows += zip(message.streams, seqs, X[:, 0].tolist(), strict=True)
        return rows

    def nothing_more(self) -> bool:
        return not self._socket.poll(100)
