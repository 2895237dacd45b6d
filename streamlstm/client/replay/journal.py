"""A file that keeps what a publisher has not seen confirmed, so that another process can send it.

Records follow each other: length of a body, its CRC-32, and the CRC-32 of these eight bytes, four
bytes each, little-endian; then the body, a STEP as it goes over the wire. One without features says
that its stream is confirmed up to its number. A process that is killed leaves a last record that is
cut off; it is dropped. Everything else that is no record is damage, and told: since a length has a
check of its own, a wrong one cannot hide what stands behind it.

A journal is written anew when it has 1 MiB and four times what was needed when it was last written
anew; so it has at most that and what is not confirmed.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from typing import Final

from ... import wire
from ...errors import DataError, ProtocolError

_HEAD = struct.Struct("<III")
_CHECKED = 8  # bytes of a head that its last four check
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
        If the file is not a journal, is damaged, or another process uses it.
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
            raise self._damaged(at, len(data), len(steps))
        os.ftruncate(self._file, at)
        self._size = at
        return given, [step for step in steps if step.seq > confirmed.get(step.stream, 0)]

    def _damaged(self, at: int, size: int, read: int) -> DataError:
        if at == 0:
            return DataError(
                f"{self._path}: expected a journal of a publisher, got other bytes at its "
                "beginning; choose another path, or repair this file"
            )
        return DataError(
            f"{self._path}: expected a record at byte {at} of {size}, got one that is damaged: the "
            f"{read} observations before it can be read, what stands behind it cannot. Restore the "
            f"file; or give up what stands behind it: truncate --size {at} {self._path}"
        )

    def add(self, steps: Sequence[wire.Step]) -> None:
        """Keep observations, all of them or none; when this returns, they outlive the process.

        Raises
        ------
        DataError
            If the file cannot be written; it is as it was.
        """
        self._append(b"".join(map(_record, steps)))

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
        try:
            _write(self._file, data)
        except OSError as error:
            os.ftruncate(self._file, self._size)  # else half a record would stand in the middle
            raise self._unwritable(error) from None
        self._size += len(data)
        self._unsynced = True

    def _unwritable(self, error: OSError) -> DataError:
        return DataError(
            f"{self._path}: the journal cannot be written ({error.strerror}); make room. What it "
            "has kept until now stays in it, and is sent by a publisher that begins with it"
        )

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

        Raises
        ------
        DataError
            If that cannot be written; the file is as it was.
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
        try:
            os.ftruncate(file, 0)
            _write(file, data)
            os.fsync(file)
            os.replace(fresh, self._path)
        except OSError as error:
            os.close(file)
            raise self._unwritable(error) from None
        os.close(self._file)
        self._file, self._size, self._live = file, len(data), len(data)
        self._unsynced = False
        folder = os.open(os.path.dirname(os.path.abspath(self._path)), os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _records(data: bytes) -> Iterator[tuple[wire.Step, int]]:
    """Yield each record and where it ends, up to the first that is none."""
    at = 0
    while (size := _size(data[at : at + _HEAD.size])) is not None:
        begin = at + _HEAD.size
        at = begin + size
        body = data[begin:at]
        if len(body) < size or zlib.crc32(body) != _HEAD.unpack_from(data, begin - _HEAD.size)[1]:
            return
        try:
            step = wire.decode_request(body, len(body))
        except ProtocolError:
            return
        if not isinstance(step, wire.Step):
            return
        yield step, at


def _size(head: bytes) -> int | None:
    """Return the bytes of a body; None if it is no head."""
    if len(head) < _HEAD.size:
        return None
    size, _, check = _HEAD.unpack(head)
    return int(size) if zlib.crc32(head[:_CHECKED]) == check else None


def _is_cut_off(rest: bytes) -> bool:
    """Tell whether bytes are what is left of one last record; a disk may leave zeros behind it."""
    written, size = len(rest.rstrip(b"\0")), _size(rest[: _HEAD.size])
    return written < _HEAD.size + (size or 0)


def _record(step: wire.Step) -> bytes:
    body = wire.encode(step)
    head = struct.pack("<II", len(body), zlib.crc32(body))
    return head + struct.pack("<I", zlib.crc32(head)) + body
