"""Partitions that come to a worker, until they are its own for certain.

A worker serves what has come at once. It owns it when all of it is committed and a note in its
folder says so; if it ends before, the worker that it came from has it. So replies to barriers that
were asked for since wait for the note as well.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ..engine.hand_over import HandOver
from ..engine.records import stream_from_key
from .commits import HeldCommits
from .native import layout
from .partitions import Partitions
from .stores.checkpointer import Checkpointer
from .stores.lmdb.arrived import read_arrived, write_arrived

_LOG = logging.getLogger(__name__)

RETRY_SECONDS = 1.0  # after a note that could not be written
SPARE = 16  # one in so many slots stays free for streams that are new; others go to the store


class Arrived(NamedTuple):
    """A move of which all has come."""

    move: int
    epochs: dict[int, int]  # of its partitions
    ticket: int  # the commit that has all of it


class Arrivals:
    """Partitions that come to this worker.

    Parameters
    ----------
    partitions : Partitions
    streams : HandOver
    checkpointer : Checkpointer or None
    commits : HeldCommits or None
    folder : Path or None
        Of the store, where it has one.
    nudge : callable
        Ends a wait of the loop; called from another thread.
    """

    def __init__(
        self,
        partitions: Partitions,
        streams: HandOver,
        checkpointer: Checkpointer | None,
        commits: HeldCommits | None,
        folder: Path | None,
        nudge: Callable[[], object],
    ) -> None:
        self._partitions, self._streams, self._nudge = partitions, streams, nudge
        self._checkpointer, self._commits, self._folder = checkpointer, commits, folder
        self._noted = {} if folder is None else read_arrived(folder)
        self._coming: dict[int, list[int]] = {}
        self._unkept: list[Arrived] = []
        self._writing: list[Arrived] = []
        self._writer: threading.Thread | None = None
        self._written, self._retry_at = False, 0.0

    # --- from the supervisor ---

    def expect(self, move: int, partitions: list[int]) -> None:
        """Answer ``busy`` for partitions from now on."""
        self._coming[move] = partitions
        self._partitions.set(partitions, layout.ARRIVING)
        self._partitions.unsettled[partitions] = True

    def put(self, keys: Sequence[bytes], records: bytes) -> None:
        """Take streams; those that find no room in memory go to the store."""
        spare = self._streams.limit // SPARE
        if self._checkpointer is not None and self._streams.free_slots - len(keys) < spare:
            size = self._streams.record_size
            found = {key: records[size * n : size * (n + 1)] for n, key in enumerate(keys)}
            self._checkpointer.stored.take_over(found, spare)
        elif keys:
            self._streams.put([stream_from_key(key) for key in keys], records)

    def report(self) -> list[tuple[int, list[int], bool]]:
        """Return each move, its partitions, and whether all has come, for fleet/takeover.py."""
        coming = [(move, partitions, False) for move, partitions in self._coming.items()]
        return coming + [(each.move, list(each.epochs), True) for each in self._unkept]

    def end(self, move: int) -> bool:
        """Serve partitions, of which all has come; tell whether they were expected."""
        if move not in self._coming:
            return False
        partitions, epochs = self._coming.pop(move), self._partitions.table.epochs
        self._partitions.set(partitions, layout.HERE)
        ticket = 0 if self._checkpointer is None else self._checkpointer.ticket()
        self._unkept.append(Arrived(move, {p: int(epochs[p]) for p in partitions}, ticket))
        if self._checkpointer is not None and self._checkpointer.shared is not None:
            self._checkpointer.shared.arrive(partitions, ticket)
        self._hold()
        return True

    def cancel(self, move: int) -> None:
        """Expect partitions no more."""
        if (partitions := self._coming.pop(move, None)) is not None:
            self._partitions.set(partitions, layout.ELSEWHERE)
            self._partitions.unsettled[partitions] = False

    def abandon(self, move: int) -> None:
        """Wait no more for what comes: the worker that has it has died."""
        self._coming.pop(move, None)
        self._unkept = [each for each in self._unkept if each.move != move]
        self._hold()

    # --- between turns ---

    def advance(self) -> list[int]:
        """Note what is committed; return the moves that are noted since the last call."""
        if self._writer is not None:
            return [] if self._writer.is_alive() else self._finish_note()
        committed = 0 if self._checkpointer is None else self._checkpointer.committed
        due = [each for each in self._unkept if each.ticket <= committed]
        if not due or time.monotonic() < self._retry_at:
            return []
        if self._folder is None:
            return self._settle(due)
        self._writing = due
        self._writer = threading.Thread(target=self._write, args=(self._folder,), daemon=True)
        self._writer.start()
        return []

    def _write(self, folder: Path) -> None:
        self._written = self._note(folder, self._writing)
        self._nudge()

    def _note(self, folder: Path, arrived: Sequence[Arrived]) -> bool:
        noted = dict(self._noted)
        for each in arrived:
            noted |= each.epochs
        try:
            write_arrived(folder, noted)
        except OSError as error:
            _LOG.error("%s: cannot be written: %s", folder, error.strerror)
            return False
        self._noted = noted
        return True

    def _finish_note(self) -> list[int]:
        self._writer = None
        if not self._written:
            self._retry_at = time.monotonic() + RETRY_SECONDS
            return []
        return self._settle(self._writing)

    def _settle(self, arrived: Sequence[Arrived]) -> list[int]:
        self._unkept = [each for each in self._unkept if each not in arrived]
        for each in arrived:
            self._partitions.unsettled[list(each.epochs)] = False
        self._hold()
        return [each.move for each in arrived]

    def _hold(self) -> None:
        if self._commits is not None:
            tickets = [each.ticket for each in self._unkept]
            self._commits.held = min(tickets) if tickets else None

    def finish(self) -> None:
        """Note what has come when the worker has made its last commit."""
        if self._writer is not None:
            self._writer.join()
            self._finish_note()
        committed = 0 if self._checkpointer is None else self._checkpointer.committed
        due = [each for each in self._unkept if each.ticket <= committed]
        if due and (self._folder is None or self._note(self._folder, due)):
            self._settle(due)
