"""A file of a publisher's unconfirmed observations, so that another process can send them.

journal_records.py describes its bytes. A journal is compacted when it has 1 MiB and four times the
size of the last compaction; so it has at most that and the unconfirmed observations.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from os import PathLike
from typing import Final

from ... import wire
from ...errors import BadValueError, DataError, shown
from .journal_records import is_truncated, producer_record, records, step_record

_MIN_COMPACTION = 2**20  # bytes up to which a journal is never compacted
_MAX_FORMERS = 16  # a worker that lost its last commits may still know the one before the last


class Journal:
    """An append-only file of one publisher.

    Parameters
    ----------
    path : path
        Created if it does not exist.
    sync : bool
        Whether :meth:`sync` waits for the disk.

    Attributes
    ----------
    last_seqs : dict of stream to int
        The last number of each stream, when it was opened.
    steps : list of wire.Step
        The unconfirmed observations, when it was opened.
    producers : list of int
        The last producers that had it, the latest last; 0 for one of a version without them.

    Raises
    ------
    BadValueError
        If the path is none.
    DataError
        If the file cannot be opened, is not a journal, is damaged, or another process uses it.
    """

    def __init__(self, path: str | PathLike[str], sync: bool = False) -> None:
        self._path: Final = _checked_path(path)
        self._sync = sync
        self._unsynced = False
        self._file = self._open(self._path)
        try:
            self.last_seqs, self.steps, self.producers = self._read()
        except OSError as error:
            os.close(self._file)
            raise _unusable(self._path, error) from None
        except BaseException:
            os.close(self._file)
            raise
        self._compacted_size = 0

    def _open(self, path: str) -> int:
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(path, error) from None
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise _no_file(path)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            raise DataError(
                f"{path}: expected a journal of this publisher alone, another process has it open; "
                "give each publisher a journal of its own"
            ) from None
        except OSError as error:
            os.close(file)
            raise _unusable(path, error) from None
        except DataError:
            os.close(file)
            raise
        return file

    def _read(self) -> tuple[dict[wire.StreamId, int], list[wire.Step], list[int]]:
        with open(self._path, "rb") as file:
            data = file.read()
        last_seqs: dict[wire.StreamId, int] = {}
        confirmed: dict[wire.StreamId, int] = {}
        steps: list[wire.Step] = []
        producers: list[int] = []
        at = 0
        for step, after in records(data):
            before, at = at, after
            if isinstance(step, int):
                producers.append(step)
                continue
            if before == 0:  # by a version without producers
                producers.append(0)
            last_seqs[step.stream] = max(step.seq, last_seqs.get(step.stream, 0))
            if step.x:
                steps.append(step)
            else:
                confirmed[step.stream] = step.seq
        if not is_truncated(data[at:]):
            raise self._damaged(at, len(data), len(steps))
        os.ftruncate(self._file, at)
        self._size = at
        unconfirmed = [step for step in steps if step.seq > confirmed.get(step.stream, 0)]
        return last_seqs, unconfirmed, producers[-_MAX_FORMERS:]

    def _damaged(self, at: int, size: int, read: int) -> DataError:
        if at == 0:
            return DataError(
                f"{self._path}: expected a journal of a publisher, got other bytes at its "
                "beginning; choose another path, or repair this file"
            )
        return DataError(
            f"{self._path}: expected a record at byte {at} of {size}, got one that is damaged: the "
            f"{read} observations before it can be read, what follows it cannot. Restore the "
            f"file; or give up what follows it: truncate --size {at} {self._path}"
        )

    def begin(self, producer: int) -> None:
        """Record who has it now, before anything else; raises as :meth:`add`."""
        self._append(producer_record(producer))
        self.producers = [*self.producers, producer][-_MAX_FORMERS:]

    def add(self, steps: Sequence[wire.Step]) -> None:
        """Append observations, all of them or none; when this returns, they outlive the process.

        Raises
        ------
        DataError
            If the file cannot be written; it has not changed.
        """
        self._append(b"".join(map(step_record, steps)))

    def confirm(self, ends: Iterable[tuple[wire.StreamId, int]]) -> None:
        """Record that streams are confirmed up to a number."""
        self._append(b"".join(step_record(wire.Step(stream, seq, b"")) for stream, seq in ends))

    def sync(self) -> None:
        """Wait until everything is on disk, if the journal was opened with ``sync``."""
        if self._sync and self._unsynced:
            # before: another thread may append meanwhile
            self._unsynced = False
            try:
                os.fsync(self._file)
            except OSError as error:
                raise self._unwritable(error) from None

    def _append(self, data: bytes) -> None:
        try:
            _write(self._file, data)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, self._size)  # else half a record would stand in the middle
            raise self._unwritable(error) from None
        self._size += len(data)
        self._unsynced = True

    def _unwritable(self, error: OSError) -> DataError:
        return DataError(
            f"{self._path}: the journal cannot be written ({error.strerror}); make room. Its "
            "observations stay in it, and a publisher that starts with it sends them"
        )

    @property
    def needs_compaction(self) -> bool:
        """True if so much of it is confirmed that compaction pays."""
        return self._size > _MIN_COMPACTION and self._size > 4 * self._compacted_size

    def compact(
        self, last_seqs: Mapping[wire.StreamId, int], unconfirmed: Iterable[wire.Step]
    ) -> None:
        """Replace the file by one without confirmed observations.

        Parameters
        ----------
        last_seqs : dict of stream to int
            The last number of every stream.
        unconfirmed : iterable of wire.Step
            Each stream in its order.

        Raises
        ------
        DataError
            If that cannot be written; the file has not changed.
        """
        steps = list(unconfirmed)
        first: dict[wire.StreamId, int] = {}
        for step in steps:
            first.setdefault(step.stream, step.seq)
        ends = ((stream, first.get(stream, last + 1) - 1) for stream, last in last_seqs.items())
        data = b"".join(
            [
                *(producer_record(producer) for producer in self.producers),
                *(step_record(wire.Step(*end, b"")) for end in ends),
                *(step_record(step) for step in steps),
            ]
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
        self._file, self._size, self._compacted_size = file, len(data), len(data)
        self._unsynced = False
        try:
            _sync_folder(os.path.dirname(os.path.abspath(self._path)))
        except OSError as error:
            raise self._unwritable(error) from None

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def _checked_path(path: object) -> str:
    try:
        checked = os.fsdecode(path)  # type: ignore[arg-type] # else TypeError
        os.fsencode(checked)
    except (TypeError, UnicodeError):
        raise BadValueError(f"journal: expected the path of a file, got {shown(path)}") from None
    if "\0" in checked or not checked:
        raise BadValueError(f"journal: expected the path of a file, got {shown(checked)}")
    return checked


def _no_file(path: str) -> DataError:
    return DataError(
        f"{path}: expected a file for a journal, got a folder, a device or a pipe; choose another "
        "path"
    )


def _unusable(path: str, error: OSError) -> DataError:
    """Return the error for a journal that cannot be opened or read."""
    if isinstance(error, IsADirectoryError):
        return _no_file(path)
    hint = "choose another path, or let this user read and write the file and its folder"
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        hint = "make its folder first, or choose another path"
    return DataError(f"{path}: the journal cannot be opened ({error.strerror}); {hint}")


def _sync_folder(path: str) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
