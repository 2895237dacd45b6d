"""Whose keys open a worker's doors: a folder of public keys, or one file that lists them."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ...client.keys import Key, load_key, parse_key, read_toml
from ...errors import KeyFileError

LOOK = 1.0  # seconds between two looks at the files


def read_allowed(path: Path) -> tuple[dict[str, Key], list[str]]:
    """Return the keys that may come in, and what is wrong with the others.

    Parameters
    ----------
    path : Path
        A folder, of whose files those count that end in ``.pub``; or a file of TOML with one
        ``[[client]]`` of name, public and role for each.

    Returns
    -------
    keys : dict of str to Key
        By their public half. What cannot be read, and what is there twice, lets nobody in.
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
    twice = set()
    for key in found:
        if key.public in keys:
            twice.add(key.public)
            problems.append(f"{path}: {keys[key.public].name} and {key.name} have the same key")
        keys[key.public] = key
    return {public: key for public, key in keys.items() if public not in twice}, problems


class Allowed:
    """The keys that may come in, as the files say by now.

    Parameters
    ----------
    path : Path
        As for :func:`read_allowed`.

    Attributes
    ----------
    problems : list of str
        What was found wrong at the last reading.

    Raises
    ------
    KeyFileError
        If a key cannot be read, or there is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._signature()
        self._looked = time.monotonic()
        self._keys, self.problems = read_allowed(path)
        if self.problems:
            raise KeyFileError(self.problems[0])
        if not self._keys:
            raise KeyFileError(
                f"{path}: holds no key, so nobody could come in; copy a client's .pub file there "
                "(streamlstm keys new NAME)"
            )

    def __len__(self) -> int:
        """Return how many keys may come in."""
        return len(self._keys)

    def find(self, public: str) -> Key | None:
        """Return whose key it is; None for one that may not come in."""
        return self._keys.get(public)

    def refresh(self) -> bool:
        """Read the files again if they changed; looks at most once a second.

        Returns
        -------
        bool
            Whether they were read.
        """
        now = time.monotonic()
        if now - self._looked < LOOK:
            return False
        self._looked = now
        seen = self._signature()
        if seen == self._seen:
            return False
        self._keys, self.problems = read_allowed(self._path)
        self._seen = seen
        return True

    def _signature(self) -> list[tuple[str, int, int, int]]:
        """Return what changes with the files."""
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
