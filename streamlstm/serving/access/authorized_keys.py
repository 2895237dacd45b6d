"""Reads the client keys that a worker accepts: a folder of public keys, or one file of them."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ...client.keys import Key, load_key, parse_key, read_toml
from ...errors import KeyFileError

CHECK_SECONDS = 1.0  # between two looks at the files


def read_authorized_keys(path: Path) -> tuple[dict[str, Key], list[str]]:
    """Return the authorized keys, and what is wrong with the others.

    Parameters
    ----------
    path : Path
        A folder, of whose files those count that end in ``.pub``; or a file of TOML with one
        ``[[client]]`` of name, public and role for each.

    Returns
    -------
    keys : dict of str to Key
        By their public half. What cannot be read, and what is there twice, is left out.
    problems : list of str
    """
    found: list[Key] = []
    problems: list[str] = []
    try:
        if path.is_dir():
            for file in sorted(path.glob("*.pub")):
                try:
                    found.append(load_key(file))
                except KeyFileError as error:
                    problems.append(str(error))
        else:
            clients = read_toml(path).get("client")
            if not isinstance(clients, list) or not all(isinstance(c, dict) for c in clients):
                raise KeyFileError(
                    f"{path}: expected a folder of .pub files, or one [[client]] with name, "
                    "public and role for each key"
                )
            found += [parse_key(c, f"{path}: client {n}") for n, c in enumerate(clients, 1)]
    except KeyFileError as error:
        return {}, [str(error)]
    except OSError as error:
        return {}, [f"{path}: cannot be read: {error.strerror}"]
    keys: dict[str, Key] = {}
    duplicates = set()
    for key in found:
        if key.public in keys:
            duplicates.add(key.public)
            problems.append(f"{path}: {keys[key.public].name} and {key.name} have the same key")
        keys[key.public] = key
    return {public: key for public, key in keys.items() if public not in duplicates}, problems


class AuthorizedKeys:
    """The authorized keys, as the files list them at the moment.

    Parameters
    ----------
    path : Path
        As for :func:`read_authorized_keys`.

    Attributes
    ----------
    problems : list of str
        What was wrong with the files when they were last read.

    Raises
    ------
    KeyFileError
        If a key cannot be read, or there is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._signature()
        self._checked = time.monotonic()
        self._keys, self.problems = read_authorized_keys(path)
        if self.problems:
            raise KeyFileError(self.problems[0])
        if not self._keys:
            raise KeyFileError(
                f"{path}: holds no key, so no client could connect; copy a client's .pub file "
                "there (streamlstm keys new NAME)"
            )

    def __len__(self) -> int:
        """Return how many keys are authorized."""
        return len(self._keys)

    def find(self, public: str) -> Key | None:
        """Return the key with this public half; None if it is not authorized."""
        return self._keys.get(public)

    def refresh(self) -> bool:
        """Read the files again if they changed; looks at most once a second.

        Returns
        -------
        bool
            Whether they were read.
        """
        now = time.monotonic()
        if now - self._checked < CHECK_SECONDS:
            return False
        self._checked = now
        seen = self._signature()
        if seen == self._seen:
            return False
        self._keys, self.problems = read_authorized_keys(self._path)
        self._seen = seen
        return True

    def _signature(self) -> list[tuple[str, int, int, int]]:
        """Return names, times, sizes and inodes of the files, which change with them."""
        paths = [self._path]
        try:
            if self._path.is_dir():
                paths += sorted(self._path.glob("*.pub"))
        except OSError:
            return []
        seen = []
        for path in paths:
            try:
                found = os.stat(path)
            except OSError:
                continue
            seen.append((str(path), found.st_mtime_ns, found.st_size, found.st_ino))
        return seen
