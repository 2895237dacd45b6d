"""Partitions that a worker has from one that has died: served at once, copied in the background."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..engine.hand_over import HandOver
from ..errors import StoreError
from ..network.model import Model
from .arrivals import SPARE
from .native import layout
from .partitions import Partitions
from .stores.adopted import Adopted
from .stores.checkpointer import BATCH_BYTES, Checkpointer
from .stores.lmdb.base import Base

_LOG = logging.getLogger(__name__)

RETRY_SECONDS = 1.0  # between two attempts to open a folder


@dataclass
class _Adoption:
    partitions: list[int]
    folders: list[str]
    adopted: Adopted | None = None  # None until its folders are open
    retry_at: float = 0.0
    ticket: int | None = None  # of the commit with all of it; None while it is copied


class Adoptions:
    """The partitions that are copied from folders of workers that have died.

    Parameters
    ----------
    partitions : Partitions
    streams : HandOver
    checkpointer : Checkpointer
    folder : Path
        Of this worker's store; the others are beside it.
    model : callable
        Returns the model that runs.
    """

    def __init__(
        self,
        partitions: Partitions,
        streams: HandOver,
        checkpointer: Checkpointer,
        folder: Path,
        model: Callable[[], Model],
    ) -> None:
        self._partitions, self._streams, self._checkpointer = partitions, streams, checkpointer
        self._place, self._model = folder.parent, model
        self._adoptions: dict[int, _Adoption] = {}
        self._bases: dict[str, Base] = {}  # the folders that are open: each once in a process
        self._copied: dict[int, list[int]] = {}

    def begin(self, number: int, partitions: list[int], folders: list[str]) -> None:
        """Serve partitions as soon as the folders are open."""
        adoption = self._adoptions[number] = _Adoption(partitions, folders)
        self._partitions.set(partitions, layout.ARRIVING)
        self._partitions.unsettled[partitions] = True
        self._open(adoption)

    def _open(self, adoption: _Adoption) -> None:
        if time.monotonic() < adoption.retry_at:
            return
        try:
            bases = [self._base(folder) for folder in adoption.folders]
        except StoreError as error:
            if not adoption.retry_at:
                count = len(adoption.partitions)
                _LOG.error("%s Streams of %d partitions are answered busy until then", error, count)
            adoption.retry_at = time.monotonic() + RETRY_SECONDS
            return
        adoption.adopted = Adopted(adoption.partitions, bases)
        self._checkpointer.stored.adopted.append(adoption.adopted)
        self._partitions.set(adoption.partitions, layout.HERE)

    def _base(self, folder: str) -> Base:
        if folder not in self._bases:
            path, header = self._place / folder, self._checkpointer.header
            self._bases[folder] = Base(path, header, self._model())
        return self._bases[folder]

    def _close_unused(self) -> None:
        used = {folder for each in self._adoptions.values() for folder in each.folders}
        for folder in self._bases.keys() - used:
            self._bases.pop(folder).close()

    def advance(self) -> list[int]:
        """Copy the next streams; return what is copied and committed since the last call."""
        copied = []
        for number, adoption in list(self._adoptions.items()):
            if adoption.adopted is None:
                self._open(adoption)
            elif adoption.ticket is None:
                self._copy(adoption, adoption.adopted)
            elif adoption.ticket <= self._checkpointer.committed:
                self._checkpointer.stored.adopted.remove(adoption.adopted)
                copied.append(number)
        for number in copied:
            self._copied[number] = self._adoptions.pop(number).partitions
        if copied:
            self._close_unused()
        return copied

    def settle(self, number: int) -> None:
        """Note that the folders of an adoption are known to be of no more use."""
        self._partitions.unsettled[self._copied.pop(number)] = False

    def _copy(self, adoption: _Adoption, adopted: Adopted) -> None:
        stored = self._checkpointer.stored
        if len(stored.incoming) * self._streams.record_size > BATCH_BYTES:
            return  # the store first
        with suppress(StoreError):  # which is known and logged; it is tried again
            if stored.copy(adopted, self._streams.limit // SPARE):
                adoption.ticket = self._checkpointer.ticket()

    @property
    def are_active(self) -> bool:
        """True if there is something to copy."""
        return any(
            each.adopted is not None and each.ticket is None for each in self._adoptions.values()
        )

    def close(self) -> None:
        """Close all folders."""
        self._adoptions.clear()
        self._close_unused()
