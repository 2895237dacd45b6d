"""A worker's part in a fleet: does what its supervisor says, between two turns of the loop.

A partition moves so (A has it, B gets it; docs/fleet.md): ``expect`` at B, which answers ``busy``
for it from then on; ``release`` at A, which answers ``moved``, and sends the rows in pieces, to B
through the supervisor; with the last piece B serves. When B has committed what came, A deletes it.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import wire
from ..engine.hand_over import HandOver
from ..engine.records import stream_from_key
from .control_link import ControlLink
from .native import layout
from .partitions import Partitions
from .stores.checkpointer import Checkpointer

_LOG = logging.getLogger(__name__)

SCANNED = 16_384  # slots that are looked at in one turn,
PIECE = 256  # and streams that are sent, put in or deleted: some 0.3 ms
YIELD_SECONDS = 0.001  # for which the loop runs between two pieces


class Departure:
    """Partitions on their way out: which streams were sent, and which are to be deleted."""

    def __init__(self, partitions: list[int]) -> None:
        self.wanted: NDArray[np.uint8] = np.zeros(wire.PARTITIONS, np.uint8)
        self.wanted[partitions] = 1
        self.scanned = self.sent = 0
        self.slots: NDArray[np.int64] = np.empty(0, np.int64)
        self.keys: list[bytes] = []
        self.kept = False


class Member:
    """Executes the commands of a supervisor.

    Parameters
    ----------
    streams : HandOver
    partitions : Partitions
    checkpointer : Checkpointer or None
    link : ControlLink
        To the supervisor.
    name : str
        This worker's.
    """

    def __init__(
        self,
        streams: HandOver,
        partitions: Partitions,
        checkpointer: Checkpointer | None,
        link: ControlLink,
        name: str,
    ) -> None:
        self._streams, self._partitions, self._checkpointer = streams, partitions, checkpointer
        self._link, self._name = link, name
        self._departures: dict[int, Departure] = {}
        self._arrivals: dict[int, list[int]] = {}
        self._unkept: deque[tuple[int, int]] = deque()  # moves, and the commits that they wait for
        self._commands: dict[str, Callable[..., None]] = {
            "table": self._follow,
            "own": self._own,
            "expect": self._expect,
            "release": self._release,
            "records": self._records,
            "end": self._end,
            "kept": self._kept,
            "limit": self._streams.set_limit,
        }

    def also(self, commands: Mapping[str, Callable[..., None]]) -> None:
        """Execute these commands too, by name."""
        self._commands |= commands

    def introduce(self, endpoints: Mapping[str, str], about: Sequence[str] = ()) -> None:
        """Tell the supervisor that this worker serves, and what else it should know."""
        where = [endpoints[name] for name in ("router", "pull", "xpub")]
        self._tell("hello", self._name, os.getpid(), *where, *about)

    def turn(self) -> float:
        """Execute what came and go on with what is under way; return when to call this again."""
        while (frame := self._link.receive()) is not None:
            name, fields = wire.decode_control(frame)
            self._commands[name](*fields)
        busy = self._advance()
        self._tell_kept()
        if self._link.looked():
            return 0.0
        return YIELD_SECONDS if busy else 1.0

    def report(self, fields: list[Any]) -> None:
        """Tell how much this worker has and does, the fields of a report (load.py)."""
        self._tell("load", self._name, *fields)

    def tell_reload(self, number: int, how_far: str, value: Any) -> None:
        """Tell how far a reload is (fleet_reload.py)."""
        self._tell("reload", self._name, number, how_far, value)

    def _tell(self, name: str, *fields: Any) -> None:
        self._link.send(wire.encode_control(name, *fields))

    # --- commands ---

    def _follow(self, table: Any) -> None:
        self._partitions.follow(wire.FleetTable.from_value(table))

    def _own(self, partitions: list[int]) -> None:
        self._partitions.set(partitions, layout.HERE)

    def _expect(self, move: int, partitions: list[int]) -> None:
        self._arrivals[move] = partitions
        self._partitions.set(partitions, layout.ARRIVING)
        self._tell("expecting", move)

    def _release(self, move: int, partitions: list[int], table: Any) -> None:
        self._follow(table)
        self._partitions.set(partitions, layout.ELSEWHERE)
        self._departures[move] = Departure(partitions)

    def _records(self, _: int, keys: list[bytes], records: bytes) -> None:
        self._streams.put([stream_from_key(key) for key in keys], records)

    def _end(self, move: int, count: int) -> None:
        self._partitions.set(self._arrivals.pop(move), layout.HERE)
        self._tell("arrived", move, count)
        ticket = 0 if self._checkpointer is None else self._checkpointer.ticket()
        self._unkept.append((move, ticket))

    def _kept(self, move: int) -> None:
        self._departures[move].kept = True

    # --- what is under way ---

    def _advance(self) -> bool:
        """Go on with each departure, a piece; tell whether any is under way."""
        for move, departure in list(self._departures.items()):
            if departure.scanned >= 0:
                self._send_piece(move, departure)
            elif departure.kept:
                self._delete_piece(move, departure)
        return any(each.scanned >= 0 or each.kept for each in self._departures.values())

    def _send_piece(self, move: int, departure: Departure) -> None:
        if not len(departure.slots):
            stop = min(departure.scanned + SCANNED, self._streams.used_slots)
            departure.slots = self._streams.find(departure.wanted, departure.scanned, stop)
            departure.scanned = stop
        piece, departure.slots = departure.slots[:PIECE], departure.slots[PIECE:]
        if len(piece):
            keys, records = self._streams.take(piece)
            departure.keys += keys
            self._tell("records", move, keys, records)
        if not len(departure.slots) and departure.scanned == self._streams.used_slots:
            departure.scanned = -1
            self._tell("end", move, len(departure.keys))

    def _delete_piece(self, move: int, departure: Departure) -> None:
        piece, departure.keys = departure.keys[:PIECE], departure.keys[PIECE:]
        self._streams.delete([stream_from_key(key) for key in piece])
        if not departure.keys:
            del self._departures[move]
            self._tell("left", move)

    def _tell_kept(self) -> None:
        committed = 0 if self._checkpointer is None else self._checkpointer.committed
        while self._unkept and self._unkept[0][1] <= committed:
            self._tell("kept", self._unkept.popleft()[0])

    def close(self) -> None:
        """Leave the supervisor."""
        self._link.close()
