"""A file that keeps what a publisher has not seen confirmed, so that another process can send it.

Records follow each other: length and CRC-32 of a body, four bytes each, little-endian; the body is
a STEP as it goes over the wire. One without features says that its stream is confirmed up to its
number. A process that is killed leaves a last record that is cut off; it is dropped.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from typing import Final

from .. import wire
from ..errors import DataError, ProtocolError

_HEAD = struct.Struct("<II")
_MOST = 2**28  # bytes of a record
_SMALL = 2**20  # bytes up to which a journal is never written anew


class Journal:
    """An append-only file of one publisher.

    Parameters
    ----------
    path : path
        Made if it is not there.
    sync : bool
        Whether :meth:`sync` waits for the disk.

    Attributes
    ----------
    given : dict of stream to int
        When it was opened: the last number of each stream.
    steps : list of wire.Step
        When it was opened: what was not confirmed.

    Raises
    ------
    DataError
        If the file is not a journal, or another process uses it.
    """

    def __init__(self, path: str | PathLike[str], sync: bool = False) -> None:
        self._path: Final = os.fspath(path)
        self._sync = sync
        self._unsynced = False
        self._file = self._open(self._path)
        try:
            self.given, self.steps = self._read()
        except BaseException:
            os.close(self._file)
            raise
        self._live = 0

    def _open(self, path: str) -> int:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            raise DataError(
                f"{path}: expected a journal of this publisher alone, another process has it open; "
                "give each publisher a journal of its own"
            ) from None
        return file

    def _read(self) -> tuple[dict[wire.StreamId, int], list[wire.Step]]:
        with open(self._path, "rb") as file:
            data = file.read()
        given: dict[wire.StreamId, int] = {}
        confirmed: dict[wire.StreamId, int] = {}
        steps: list[wire.Step] = []
        at = 0
        for step, after in _records(data):
            given[step.stream] = max(step.seq, given.get(step.stream, 0))
            if step.x:
                steps.append(step)
            else:
                confirmed[step.stream] = step.seq
            at = after
        if not _is_cut_off(data[at:]):
            raise DataError(
                f"{self._path}: expected a journal, got other bytes at {at} of {len(data)}; what "
                "stands behind them cannot be read. Choose another path, or repair this file"
            )
        os.ftruncate(self._file, at)
        self._size = at
        return given, [step for step in steps if step.seq > confirmed.get(step.stream, 0)]

    def add(self, step: wire.Step) -> None:
        """Keep an observation; when this returns, it outlives the process."""
        self._append(_record(step))

    def confirm(self, ends: Iterable[tuple[wire.StreamId, int]]) -> None:
        """Note that streams are confirmed up to a number."""
        self._append(b"".join(_record(wire.Step(stream, seq, b"")) for stream, seq in ends))

    def sync(self) -> None:
        """Wait until what was added is on disk, if that was asked for."""
        if self._sync and self._unsynced:
            self._unsynced = (
                False  # before: what is added meanwhile by another thread may be missed
            )
            os.fsync(self._file)

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]
        self._size += len(data)
        self._unsynced = True

    @property
    def is_large(self) -> bool:
        """Whether much of it is confirmed, so that writing it anew pays."""
        return self._size > _SMALL and self._size > 4 * self._live

    def rewrite(self, given: Mapping[wire.StreamId, int], steps: Iterable[wire.Step]) -> None:
        """Replace the file by one of what is still needed.

        Parameters
        ----------
        given : dict of stream to int
            The last number of every stream.
        steps : iterable of wire.Step
            What is not confirmed, each stream in its order.
        """
        kept = list(steps)
        first: dict[wire.StreamId, int] = {}
        for step in kept:
            first.setdefault(step.stream, step.seq)
        ends = ((stream, first.get(stream, last + 1) - 1) for stream, last in given.items())
        data = b"".join(
            [*(_record(wire.Step(*end, b"")) for end in ends), *(_record(step) for step in kept)]
        )
        fresh = self._path + ".new"
        file = self._open(fresh)
        os.ftruncate(file, 0)
        old, self._file, self._size = self._file, file, 0
        self._append(data)
        os.fsync(file)
        os.replace(fresh, self._path)
        folder = os.open(os.path.dirname(os.path.abspath(self._path)), os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        os.close(old)
        self._live = self._size

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def _records(data: bytes) -> Iterator[tuple[wire.Step, int]]:
    """Yield each record and where it ends, up to the first that is none."""
    at = 0
    while len(data) - at >= _HEAD.size:
        size, crc = _HEAD.unpack_from(data, at)
        body = data[at + _HEAD.size : at + _HEAD.size + size]
        at += _HEAD.size + size
        if len(body) < size or zlib.crc32(body) != crc:
            return
        try:
            step = wire.decode_request(body, len(body))
        except ProtocolError:
            return
        if not isinstance(step, wire.Step):
            return
        yield step, at


def _is_cut_off(rest: bytes) -> bool:
    """Tell whether bytes may be what is left of one last record; a disk may leave zeros."""
    written = len(rest.rstrip(b"\0")) - _HEAD.size
    size = _HEAD.unpack_from(rest)[0] if written >= 0 else 0
    return written < 0 or written <= size <= _MOST


def _record(step: wire.Step) -> bytes:
    body = wire.encode(step)
    return _HEAD.pack(len(body), zlib.crc32(body)) + body
