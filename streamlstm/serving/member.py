"""A worker's part in a fleet: does what its supervisor says, between two turns of the loop.

A partition moves so (A has it, B gets it; docs/fleet.md): ``look`` at A, which notes what is in
its store only; ``expect`` at B, which answers ``busy`` for it from then on; ``release`` at A, which
answers ``moved``, and sends the rows in pieces, to B through the supervisor; with the last piece B
serves. When B has committed what came, A deletes it. If B dies before, A is told to ``stay``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import wire
from ..engine.engine import Engine
from .adoptions import Adoptions
from .arrivals import Arrivals
from .commits import HeldCommits
from .control_link import ControlLink
from .departure import Departure, Stage
from .eviction import Eviction
from .native import layout
from .partitions import Partitions
from .preloading import Preloading
from .stores.adopted import of_partitions, wanted
from .stores.checkpointer import Checkpointer

# For which a new worker is listed before it gets its first streams: subscribers connect meanwhile,
# which ask for the table every 0.2 s.
LISTED_SECONDS = 0.5
YIELD_SECONDS = 0.001  # for which the loop runs between two pieces
_NONE = np.zeros(0, np.uint8)


class Member:
    """Executes the commands of a supervisor.

    Parameters
    ----------
    engine : Engine
    partitions : Partitions
    checkpointer : Checkpointer or None
    commits : HeldCommits or None
    eviction : Eviction or None
    link : ControlLink
        To the supervisor.
    name : str
        This worker's.
    nudge : callable
        Ends a wait of the loop; called from another thread.
    """

    def __init__(
        self,
        engine: Engine,
        partitions: Partitions,
        checkpointer: Checkpointer | None,
        commits: HeldCommits | None,
        eviction: Eviction | None,
        link: ControlLink,
        name: str,
        nudge: Callable[[], object],
    ) -> None:
        self._engine, self._streams = engine, (streams := engine.hand_over())
        self._partitions, self._checkpointer = partitions, checkpointer
        partitions.name = name
        self._link, self._name, self._eviction = link, name, eviction
        folder = None if checkpointer is None else checkpointer.folder
        self._arrivals = Arrivals(partitions, streams, checkpointer, commits, folder, nudge)
        self._adoptions: Adoptions | None = None
        if checkpointer is not None and folder is not None:
            self._adoptions = Adoptions(
                partitions, streams, checkpointer, folder, lambda: engine.model
            )
        self._shared = None if checkpointer is None else checkpointer.shared
        self._preloading: Preloading | None = None
        if self._shared is not None:
            streams.deletes = False
            partitions.on_return = self._write_again
            assert checkpointer is not None
            checkpointer.stored.are_own = partitions.are_here
            if checkpointer.stored.preloads:
                self._preloading = Preloading(streams, checkpointer.stored)
        self._departures: dict[int, Departure] = {}
        # moves, the commits after which all has left, and the partitions
        self._deleted: dict[int, tuple[int, list[int]]] = {}
        self._expected: list[int] = []  # moves that wait until this worker is known
        self._known_from = 0.0
        self._commands: dict[str, Callable[..., None]] = {
            "table": self._follow,
            "own": self._own,
            "adopt": self._adopt,
            "settled": self._settled,
            "look": self._look,
            "purge": self._purge,
            "expect": self._expect,
            "drop": self._drop,
            "abandon": self._abandon,
            "release": self._release,
            "stay": self._stay,
            "records": self._records,
            "end": self._end,
            "kept": self._kept,
            "limit": self._limit,
            "report": self._report,
        }

    def also(self, commands: Mapping[str, Callable[..., None]]) -> None:
        """Execute these commands too, by name."""
        self._commands |= commands

    def introduce(self, endpoints: Mapping[str, str], about: Sequence[str] = ()) -> None:
        """Tell the supervisor that this worker serves, and what else it should know."""
        where = [endpoints[name] for name in ("router", "pull", "xpub")]
        self._tell("hello", self._name, os.getpid(), *where, *about)
        self._known_from = time.monotonic() + LISTED_SECONDS

    def turn(self) -> float:
        """Execute what came and go on with what is under way; return when to call this again."""
        while (frame := self._link.receive()) is not None:
            name, fields = wire.decode_control(frame)
            self._commands[name](*fields)
        busy = self._advance()
        if self._expected and time.monotonic() >= self._known_from:
            for move in self._expected:
                self._tell("expecting", move)
            self._expected.clear()
        if self._link.looked():
            return 0.0
        if self._expected:
            return max(self._known_from - time.monotonic(), YIELD_SECONDS)
        return YIELD_SECONDS if busy else 1.0

    def report(self, fields: list[Any]) -> None:
        """Tell how much this worker has and does, the fields of a report (load.py)."""
        self._tell("load", self._name, *fields)

    def tell_reload(self, number: int, how_far: str, value: Any) -> None:
        """Tell how far a reload is (fleet_reload.py)."""
        self._tell("reload", self._name, number, how_far, value)

    def _tell(self, name: str, *fields: Any) -> None:
        self._link.send(wire.encode_control(name, *fields))

    # --- commands: what is here ---

    def _follow(self, table: Any) -> None:
        self._partitions.follow(wire.FleetTable.from_value(table))

    def _own(self, partitions: list[int]) -> None:
        self._partitions.set(partitions, layout.HERE)
        self._partitions.unsettled[partitions] = False
        self._preload()

    def _limit(self, slots: int, of_fleet: int) -> None:
        self._streams.set_limit(slots)
        self._partitions.capacity = of_fleet

    def _preload(self) -> None:
        if self._preloading is not None:
            self._preloading.begin()

    def _adopt(self, number: int, partitions: list[int], folders: list[str]) -> None:
        assert self._adoptions is not None
        self._adoptions.begin(number, partitions, folders)

    def _settled(self, number: int) -> None:
        assert self._adoptions is not None
        self._adoptions.settle(number)

    def _report(self) -> None:
        """Tell a supervisor that was none of this fleet before how far all moves are."""
        departing = [(move, *each.report()) for move, each in self._departures.items()]
        departing += [(move, each, "deletes") for move, (_, each) in self._deleted.items()]
        arriving, model = self._arrivals.report(), self._engine.model.fingerprint
        self._tell("reported", self._name, departing, arriving, model)

    # --- commands: what comes ---

    def _expect(self, move: int, partitions: list[int]) -> None:
        self._arrivals.expect(move, partitions)
        self._expected.append(move)

    def _records(
        self, _: int, keys: list[bytes], records: bytes, forgotten: Sequence[bytes] = ()
    ) -> None:
        self._streams.delete_stored(forgotten)
        self._arrivals.put(keys, records)

    def _end(self, move: int, count: int) -> None:
        """Serve what has come, unless it has been cancelled meanwhile."""
        if not self._arrivals.end(move):
            return
        self._preload()  # what the former owner had in the store only
        self._tell("arrived", move, count)

    def _abandon(self, move: int) -> None:
        self._arrivals.abandon(move)

    # --- commands: what leaves ---

    def _look(self, move: int, partitions: list[int]) -> None:
        self._depart(move, partitions, purges=False)

    def _purge(self, move: int, partitions: list[int]) -> None:
        self._depart(move, partitions, purges=True)

    def _depart(self, move: int, partitions: list[int], purges: bool) -> None:
        stored = None
        if self._checkpointer is not None and self._shared is None:
            stored = self._checkpointer.stored  # a shared one keeps what it has
        self._departures[move] = Departure(self._streams, stored, partitions, purges)
        self._keep()

    def _release(self, move: int, partitions: list[int], table: Any) -> None:
        self._follow(table)
        self._partitions.set(partitions, layout.ELSEWHERE)
        departure = self._departures[move]
        departure.release()
        if self._shared is not None and self._checkpointer is not None:
            under_way = self._checkpointer.stored.batch.deleted
            departure.forgotten = self._streams.take_deleted(departure.wanted)
            departure.forgotten += of_partitions(under_way, departure.wanted)
            departure.forgotten += self._shared.take_forgotten(partitions)
            self._tell("records", move, [], b"", departure.forgotten)

    def _stay(self, move: int) -> None:
        self._streams.delete_stored(self._departures[move].forgotten)
        self._partitions.set(self._departures[move].partitions, layout.HERE)
        self._drop(move)

    def _drop(self, move: int) -> None:
        """End a move before anything has left, on either side."""
        self._arrivals.cancel(move)
        if self._departures.pop(move, None) is not None:
            self._keep()

    def _kept(self, move: int) -> None:
        departure = self._departures[move]
        departure.delete()
        self._partitions.left(departure.partitions)

    def _write_again(self, partitions: Sequence[int]) -> None:
        """Commit all of partitions that had left already: the other worker may have begun to."""
        assert self._checkpointer is not None
        assert self._shared is not None
        self._streams.mark_changed(wanted(partitions))
        self._shared.return_with(partitions, self._checkpointer.ticket())

    def _keep(self) -> None:
        """Let eviction leave streams alone that are about to leave."""
        if self._eviction is not None:
            leaving = [departure.wanted for departure in self._departures.values()]
            self._eviction.keep(np.bitwise_or.reduce(leaving) if leaving else _NONE)

    # --- what is under way ---

    def _advance(self) -> bool:
        """Go on with all that is under way, a piece; tell whether there is more to do soon."""
        for move, departure in list(self._departures.items()):
            self._depart_piece(move, departure)
        for move in self._arrivals.advance():
            self._tell("kept", move)
        if self._adoptions is not None:
            for number in self._adoptions.advance():
                self._tell("copied", number)
        self._tell_left()
        copying = self._adoptions is not None and self._adoptions.are_active
        copying |= self._preloading is not None and self._preloading.advance()
        return copying or any(each.is_active for each in self._departures.values())

    def _depart_piece(self, move: int, departure: Departure) -> None:
        match departure.stage:
            case Stage.LOOKING:
                if departure.look():
                    self._tell("looked", move)
            case Stage.SENDING:
                parcel, is_last = departure.take()
                if parcel.keys and not departure.purges:
                    self._tell("records", move, *parcel)
                if is_last and not departure.purges:
                    self._tell("end", move, departure.sent)
            case Stage.DELETING:
                if departure.delete_piece():
                    del self._departures[move]
                    self._keep()
                    ticket = 0 if self._checkpointer is None else self._checkpointer.ticket()
                    self._deleted[move] = ticket, departure.partitions

    def _tell_left(self) -> None:
        committed = 0 if self._checkpointer is None else self._checkpointer.committed
        for move in [move for move, (ticket, _) in self._deleted.items() if ticket <= committed]:
            del self._deleted[move]
            self._tell("left", move)

    # --- its end ---

    def finish(self) -> None:
        """Note what has come, after the last commit."""
        self._arrivals.finish()

    def close(self) -> None:
        """Leave the supervisor."""
        if self._adoptions is not None:
            self._adoptions.close()
        self._link.close()
