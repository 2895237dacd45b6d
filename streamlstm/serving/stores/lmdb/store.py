"""Stores streams in LMDB, in a folder of this machine: one transaction a commit, synced to disk.

LMDB never overwrites what the last commit needs: whatever interrupts a commit, the one before it is
there, whole, when the store is opened again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import lmdb

from ....errors import StoreError
from ..header import HEADER_KEY, Header
from ..store import Loss, Pairs
from .base import next_keys
from .check import check_structure, structure_problems
from .data_file import DATA, DataFile, FileStatus
from .environment import create, last_transaction, open_alone
from .folder import Folder, sync
from .guard import Guard
from .pages import PageCounts

_LOG = logging.getLogger(__name__)

# A start compacts a file of which so many bytes are free, and so many times what is in use. Commits
# level off at three times that at most: the file had grown while it was read for long.
COMPACT_BYTES, COMPACT_TIMES = 2**26, 5
CHECK_EVERY = 64  # records between two looks at a file that is read as a whole


class LmdbStore:
    """A store in an LMDB environment.

    Parameters
    ----------
    path : str
        Its folder, which is created if it does not exist.
    header : Header
        What the store must be of.
    other : {"refuse", "keep", "anew"}
        What to do with streams of another model.

    Attributes
    ----------
    kind, place, loss, intact, header
        As in :class:`streamlstm.serving.stores.store.Store`.

    Raises
    ------
    StoreError
        If it cannot be opened, is damaged, is in use by another worker, or holds streams of another
        model.
    """

    kind = "lmdb"
    loss: Loss | None = None  # a file that was deleted is written again, with all that was in it

    _env: lmdb.Environment
    _guard: Guard

    def __init__(self, path: str, header: Header, other: str = "refuse") -> None:
        self.place = f"lmdb:{path}"
        self.path, self.header = Path(path), header
        self._due = False  # whether the header has to be written
        # Whether the file that is open is no longer the one at the path, or LMDB has given it up.
        self._reopening = False
        self._writing = threading.Lock()  # it grows while no other transaction writes
        self._resizing = threading.Lock()  # no transaction may be open while the map grows
        self._folder = Folder(self.path, self.place)
        try:
            self._start(other)
        except (lmdb.Error, OSError) as error:
            self._folder.close()
            raise self._failed("opened", error) from None
        except StoreError:
            self._folder.close()
            raise

    # --- opening ---

    def _start(self, other: str) -> None:
        if new := self._folder.is_new():
            self._create()
            _LOG.info("%s: a new store, without streams", self.place)
        # Records are not read here: each is checked by its hash when it is loaded, and holds up no
        # other stream if it is damaged.
        sealed = self._folder.seal.fits(FileStatus.of(self._folder.data))
        if not (new or sealed):
            check_structure(self.place, self._folder.data)
        self._enter()
        try:
            self._accept(other)
            self._compact()
            if not sealed:
                self._folder.seal.write(self._guard.known)
        except BaseException:
            self._leave()
            raise

    def _create(self) -> None:
        """Create the data file with its header, both or neither."""
        with self._folder.replacing_data() as folder:
            create(folder, HEADER_KEY, self.header.encode())

    def _enter(self) -> None:
        """Open the data file: for writing; for reading only, if writing is not permitted."""
        self._guard = Guard(self.place, DataFile(self._folder.data), self._problems)
        try:
            self._env, self.read_only = open_alone(self.path)
            self._last = last_transaction(self._env)
        except BaseException:
            self._guard.close()
            raise

    def _leave(self) -> None:
        self._env.close()
        self._guard.close()

    def _accept(self, other: str) -> None:
        with self._env.begin() as read:
            found = read.get(HEADER_KEY)
        if found == self.header.encode():
            return
        self.header = self.header.accept(found or b"", self.place, other, not self.count())
        self._due = self.header.encode() != found
        if self._due and not self.read_only:
            self._commit((), (), self.header)

    def _compact(self) -> None:
        """Write a file that is mostly free anew, if there is room for it."""
        pages = self.pages()
        many = pages.total - pages.used > COMPACT_TIMES * pages.used
        if self.read_only or not many or pages.free_bytes < COMPACT_BYTES:
            return
        try:
            self._rewrite()
        except (lmdb.Error, OSError) as error:
            _LOG.warning("%s: cannot be compacted: %s", self.place, error)
            return
        self._reopen()
        self._folder.seal.write(self._guard.known)
        _LOG.info("%s: compacted, %.0f MiB were free", self.place, pages.free_bytes / 2**20)

    # --- checking ---

    def _problems(self) -> list[str]:
        """Return what is wrong with a data file that was changed while it was open."""
        problems = structure_problems(self._guard.open_path)
        if not problems and last_transaction(self._env) != self._last:
            problems.append("it holds another commit than the last one")
        return problems

    @property
    def intact(self) -> bool:
        """True if the file at the path holds what was committed, as far as its status tells."""
        return not self._reopening and self._guard.is_intact(self._writing.locked)

    # --- reading ---

    def count(self) -> int:
        """Return how many streams it holds."""
        return int(self._env.stat()["entries"]) - 1

    def pages(self) -> PageCounts:
        """Return how many pages its file has, and how many of them are in use."""
        return PageCounts.of(self._env)

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the record of each key, None where there is none."""
        try:
            self._open_again()
            with self._resizing:
                self._guard.check_read(self._writing.locked)
                with self._env.begin() as read:
                    return [read.get(key) for key in keys]
        except (lmdb.Error, OSError) as error:
            raise self._failed("read", error) from None

    def page(self, prefix: bytes, after: bytes, count: int) -> list[tuple[bytes, bytes]]:
        """Return the next streams in the order of their keys, with their records."""
        found: list[tuple[bytes, bytes]] = []
        try:
            self._open_again()
            with self._resizing:
                self._guard.check_read(self._writing.locked)
                with self._env.begin() as read, read.cursor() as cursor:
                    if not cursor.set_range(max(prefix, after) or b"\0"):
                        return found
                    for key, record in cursor:
                        if len(found) == count or key[: len(prefix)] > prefix:
                            break
                        if key > after and key != HEADER_KEY:
                            found.append((key, record))
        except (lmdb.Error, OSError) as error:
            raise self._failed("read", error) from None
        return found

    def keys(self, prefix: bytes, after: bytes, count: int) -> list[bytes]:
        """Return the next keys in their order."""
        try:
            self._open_again()
        except (lmdb.Error, OSError) as error:
            raise self._failed("read", error) from None
        with self._resizing:
            self._guard.check_read(self._writing.locked)
            return next_keys(self._env, self.place, prefix, after, count)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield key and record of every stream; nothing may be committed meanwhile."""
        try:
            self._guard.check_read(self._writing.locked)
            with self._env.begin() as read, read.cursor() as cursor:
                records = ((key, record) for key, record in cursor if key != HEADER_KEY)
                while found := list(islice(records, CHECK_EVERY)):
                    yield from found
                    self._guard.check_read(self._writing.locked)  # before more pages are read
        except (lmdb.Error, OSError) as error:
            raise self._failed("read", error) from None

    # --- writing ---

    def set_header(self, header: Header) -> None:
        """Replace the header; from any thread."""
        self._commit((), (), header)

    def commit(self, deleted: Sequence[bytes], pairs: Pairs) -> None:
        """Delete streams, then write records; all of it or nothing.

        A data file that was deleted while it was open is written again, with all that was in it.
        """
        self._commit(deleted, pairs, self.header if self._due else None)

    def check(self) -> None:
        """Do nothing: :attr:`intact` tells all the while."""

    def _commit(self, deleted: Sequence[bytes], pairs: Pairs, header: Header | None) -> None:
        try:
            with self._writing:
                self._prepare()
                try:
                    while not self._write(deleted, pairs, header):
                        with self._resizing:
                            self._env.set_mapsize(2 * self._env.info()["map_size"])
                finally:  # also a transaction that fails may have written to the file
                    self._last = last_transaction(self._env)
                    self._guard.note()
                self._prepare()  # of a file that is gone by now nothing would be left
                self._folder.seal.write(self._guard.known)
                self._env.reader_check()  # those of a killed program would keep old pages for ever
                if header is not None:
                    self.header, self._due = header, False
        except (lmdb.Error, OSError) as error:
            raise self._failed("written", error) from None

    def _prepare(self) -> None:
        """Make sure that what is committed now can be read later."""
        if not self._reopening:
            self._guard.check_write()
            if self._guard.is_deleted():
                self._write_again()
        if self._reopening or self.read_only:
            self._reopen()

    def _write_again(self) -> None:
        """Write what is in the deleted file, which is still open, into one in its place."""
        _LOG.warning("%s: %s was deleted while it was in use", self.place, DATA)
        self._rewrite()
        _LOG.warning("%s: %s was written again, with %d streams", self.place, DATA, self.count())

    def _rewrite(self) -> None:
        """Put a compact copy of the file that is open in its place."""
        with self._folder.replacing_data() as folder:
            self._env.copy(folder, compact=True)
            sync(Path(folder) / DATA)
        self._reopening = True

    def _reopen(self) -> None:
        """Open the file at the path instead of the one that is open."""
        with self._resizing:
            self._leave()
            self._reopening = True
            self._enter()
            self._reopening = False
        if self.read_only:
            raise StoreError(f"{self.place}: cannot be written: it is read-only.")

    def _open_again(self) -> None:
        """Open the file at the path before it is read, if the one that is open is of no use."""
        if self._reopening:
            with self._writing:
                if self._reopening:
                    self._reopen()

    def _write(self, deleted: Sequence[bytes], pairs: Pairs, header: Header | None) -> bool:
        """Write all of it in one transaction; return whether there was room in the map."""
        try:
            with self._env.begin(write=True) as write:
                if header is not None:
                    write.put(HEADER_KEY, header.encode())
                for key in deleted:
                    write.delete(key)
                with write.cursor() as cursor:
                    cursor.putmulti(pairs)
        except lmdb.MapFullError:
            return False
        return True

    # --- its end ---

    def close(self) -> None:
        """Close it, and unlock its folder."""
        intact = self.intact
        self._leave()
        if intact:
            self._folder.seal.write(self._guard.known, closed=True)
        self._folder.close()

    def _failed(self, what: str, error: lmdb.Error | OSError) -> StoreError:
        if isinstance(error, lmdb.PanicError):
            # The page that ends a commit could not be written. The commit before is there, but LMDB
            # does nothing more with what it has open.
            self._reopening = True
        reason = error.strerror if isinstance(error, OSError) else error
        return StoreError(f"{self.place}: cannot be {what}: {reason}.")
