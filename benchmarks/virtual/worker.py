"""A model of a worker: what it has in memory, what is in its folder, and what it was told.

It does what serving/member.py, arrivals.py, adoptions.py and departure.py do, with a dictionary in
place of the engine and of the store. A stream's state is the chain of the numbers it was given, so
that one lost, doubled or taken out of order changes it for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from streamlstm import wire

PIECE = 2  # streams in a message
NOTE = 0.02  # seconds in which a folder notes what has come, at most
HERE, ARRIVING = "here", "arriving"


class State(NamedTuple):
    """The state of a stream after its observation ``seq``."""

    seq: int
    chain: int

    def next(self) -> State:
        """Return the state after one more observation."""
        return State(self.seq + 1, (self.chain * 6364136223846793005 + self.seq + 1) % 2**64)


NEW = State(0, 0)
Stream = tuple[int, int]  # its partition, and its number in it


@dataclass
class Folder:
    """What a worker has on disk."""

    streams: dict[Stream, State] = field(default_factory=dict)
    arrived: dict[int, int] = field(default_factory=dict)


@dataclass
class _Departure:
    partitions: list[int]
    keys: list[Stream] = field(default_factory=list)
    released: bool = False


class _Arrived(NamedTuple):
    move: int
    epochs: dict[int, int]
    ticket: int


@dataclass
class _Adoption:
    partitions: list[int]
    folders: list[Folder]
    left: list[Stream]  # to be copied
    ticket: int | None = None


@dataclass
class Worker:
    """A worker that lives.

    Attributes
    ----------
    name : str
    disk : dict of str to Folder
    folder : Folder
        Its own.
    tell : callable
        Sends the supervisor a message.
    later : callable
        Calls a function after a short while, if the worker still lives then.
    confirm : callable
        Tells the publisher which observation of a stream is committed.
    table : FleetTable
        As it was told last.
    """

    name: str
    disk: dict[str, Folder]
    folder: Folder
    tell: Callable[[str, Any], object]
    later: Callable[..., object]
    confirm: Callable[[Stream, int], object]
    table: wire.FleetTable = field(default_factory=wire.FleetTable.new)
    states: dict[int, str] = field(default_factory=dict)
    memory: dict[Stream, State] = field(default_factory=dict)
    _stepped: dict[Stream, int] = field(default_factory=dict)  # since the last commit
    _dirty: set[Stream] = field(default_factory=set)
    _gone: set[Stream] = field(default_factory=set)
    _commits: int = 0
    _coming: dict[int, list[int]] = field(default_factory=dict)
    _unkept: list[_Arrived] = field(default_factory=list)
    _departures: dict[int, _Departure] = field(default_factory=dict)
    _deleted: dict[int, int] = field(default_factory=dict)
    _adoptions: dict[int, _Adoption] = field(default_factory=dict)
    _unconfirmed: list[tuple[int, Stream, int]] = field(default_factory=list)

    # --- observations ---

    def find(self, stream: Stream) -> State:
        """Return the state of a stream, from wherever it is."""
        if stream in self.memory:
            return self.memory[stream]
        if stream in self._gone:
            return NEW
        bases = [each.folders for each in self._adoptions.values() if stream[0] in each.partitions]
        for folder in (self.folder, *(base for folders in bases for base in folders)):
            if stream in folder.streams:
                return folder.streams[stream]
        return NEW

    def step(self, stream: Stream) -> None:
        """Apply the next observation of a stream."""
        after = self.find(stream).next()
        self.keep(stream, after)
        self._stepped[stream] = after.seq

    def keep(self, stream: Stream, state: State) -> None:
        """Put a state into memory, for the next commit."""
        self.memory[stream] = state
        self._dirty.add(stream)
        self._gone.discard(stream)

    # --- commits ---

    def commit(self) -> None:
        """Write what has changed, then say what may be said since."""
        self._commits += 1
        for stream in self._dirty:
            self.folder.streams[stream] = self.memory[stream]
        self._unconfirmed += [(self._commits, *each) for each in self._stepped.items()]
        self._stepped.clear()
        for stream in self._gone:
            self.folder.streams.pop(stream, None)
        self._dirty.clear()
        self._gone.clear()
        self.later(self.note, NOTE)
        for move in [move for move, ticket in self._deleted.items() if ticket <= self._commits]:
            del self._deleted[move]
            self.tell("left", [move])
        for number, each in list(self._adoptions.items()):
            if each.ticket is not None and each.ticket <= self._commits:
                del self._adoptions[number]
                self.tell("copied", [number])
        self._confirm()

    def note(self) -> None:
        """Note in the folder what has come, as far as it is committed."""
        for each in [each for each in self._unkept if each.ticket <= self._commits]:
            self.folder.arrived |= each.epochs
            self._unkept.remove(each)
            self.tell("kept", [each.move])
        self._confirm()

    def _confirm(self) -> None:
        held = min((each.ticket for each in self._unkept), default=self._commits + 1)
        for _, stream, seq in [each for each in self._unconfirmed if each[0] < held]:
            self.confirm(stream, seq)
        self._unconfirmed = [each for each in self._unconfirmed if each[0] >= held]

    def end(self) -> None:
        """End as it was asked to."""
        self.commit()
        self.note()

    # --- what the supervisor says ---

    def told(self, name: str, fields: Any) -> None:
        """Do as it was told."""
        getattr(self, f"_{name}")(*fields)

    def _table(self, table: wire.FleetTable) -> None:
        self.table = table

    def _own(self, partitions: list[int]) -> None:
        self._set(partitions, HERE)

    def _set(self, partitions: Iterable[int], state: str) -> None:
        self.states.update(dict.fromkeys(partitions, state))

    def _unset(self, partitions: Iterable[int]) -> None:
        for each in partitions:
            self.states.pop(each, None)

    def _adopt(self, number: int, partitions: list[int], names: list[str]) -> None:
        folders = [self.disk[name] for name in names]
        found = {s for folder in folders for s in folder.streams if s[0] in partitions}
        self._adoptions[number] = _Adoption(partitions, folders, sorted(found))
        self._set(partitions, HERE)
        self.later(lambda: self._copy(number))

    def _copy(self, number: int) -> None:
        adoption = self._adoptions[number]
        piece, adoption.left = adoption.left[:PIECE], adoption.left[PIECE:]
        for stream in piece:
            self.keep(stream, self.find(stream))
        if adoption.left:
            self.later(lambda: self._copy(number))
        else:
            adoption.ticket = self._commits + 1

    def _settled(self, number: int) -> None:
        pass

    def _expect(self, move: int, partitions: list[int]) -> None:
        self._coming[move] = partitions
        self._set(partitions, ARRIVING)
        self.tell("expecting", [move])

    def _records(self, _: int, records: list[tuple[Stream, State]]) -> None:
        for stream, state in records:
            self.keep(stream, state)

    def _end(self, move: int) -> None:
        partitions = self._coming.pop(move)
        self._set(partitions, HERE)
        epochs = {each: int(self.table.epochs[each]) for each in partitions}
        self._unkept.append(_Arrived(move, epochs, self._commits + 1))
        self.tell("arrived", [move])

    def _abandon(self, move: int) -> None:
        self._coming.pop(move, None)
        self._unkept = [each for each in self._unkept if each.move != move]

    def _drop(self, move: int) -> None:
        self._unset(self._coming.pop(move, ()))
        self._departures.pop(move, None)

    def _look(self, move: int, partitions: list[int]) -> None:
        self._departures[move] = _Departure(partitions)
        self.later(lambda: self.tell("looked", [move]))

    def _release(self, move: int, partitions: list[int], _: Any) -> None:
        self._unset(partitions)
        departure = self._departures[move]
        departure.released = True
        departure.keys = self._streams_of(partitions)
        self.later(lambda: self._send(move, departure, 0))

    def _streams_of(self, partitions: list[int]) -> list[Stream]:
        found = (set(self.memory) | set(self.folder.streams)) - self._gone
        return sorted(stream for stream in found if stream[0] in partitions)

    def _send(self, move: int, departure: _Departure, first: int) -> None:
        if self._departures.get(move) is not departure:
            return
        piece = departure.keys[first : first + PIECE]
        if piece:
            self.tell("records", [move, [(stream, self.find(stream)) for stream in piece]])
        if first + PIECE < len(departure.keys):
            self.later(lambda: self._send(move, departure, first + PIECE))
        else:
            self.tell("end", [move])

    def _stay(self, move: int) -> None:
        self._set(self._departures[move].partitions, HERE)
        self._drop(move)

    def _kept(self, move: int) -> None:
        self.later(lambda: self._delete(move, self._departures.pop(move).keys))

    def _purge(self, move: int, partitions: list[int]) -> None:
        self.later(lambda: self._delete(move, self._streams_of(partitions)))

    def _delete(self, move: int, streams: list[Stream]) -> None:
        for stream in streams:
            self.memory.pop(stream, None)
            self._dirty.discard(stream)
            self._gone.add(stream)
        self._deleted[move] = self._commits + 1
