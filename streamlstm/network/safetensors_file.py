"""Opens a safetensors file: its sizes are checked before its bytes are read.

Whoever may replace the model file of a worker may not stop it: a pipe that nobody writes to, or
gigabytes that belong to no network, are refused at once, whatever their first bytes promise.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ..errors import ModelFileError
from ..files import replace_file

MAX_HEADER = 2**22  # bytes: those of large networks take some thousands
_LENGTH = 8  # bytes of the header's length before it

Arrays = dict[str, np.ndarray[Any, Any]]
Metadata = dict[str, str]


def write_safetensors(path: str | os.PathLike[str], arrays: Arrays, metadata: Metadata) -> None:
    """Write a safetensors file; an existing file is replaced as a whole or not at all.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    replace_file(path, save(arrays, metadata=metadata))


class SafetensorsFile:
    """A safetensors file whose header was read, until the end of a ``with`` block.

    Parameters
    ----------
    source : Path

    Attributes
    ----------
    metadata : dict of str to str
    size : int
        Bytes of all arrays, which are all that follows the header.

    Raises
    ------
    ModelFileError
        If it is no regular file, or its sizes are not those that its header describes.
    """

    def __init__(self, source: Path) -> None:
        self._source = source
        try:
            # Without waiting for whoever writes to a pipe.
            descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
            self._file = os.fdopen(descriptor, "rb")
        except OSError as error:
            raise self._unreadable(error) from None
        try:
            self._start, self.metadata, self.size = self._read_header()
        except BaseException:
            self._file.close()
            raise

    def _read_header(self) -> tuple[bytes, dict[str, str], int]:
        """Return the bytes up to the arrays, the metadata, and the bytes of the arrays."""
        found = os.fstat(self._file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ModelFileError(
                f"{self._source}: expected a model file, this is {_kind_of(found.st_mode)}."
            )
        try:
            start = self._file.read(_LENGTH)
            length = int.from_bytes(start, "little")
            if not 2 <= length <= min(MAX_HEADER, found.st_size - _LENGTH):
                raise self._damaged(f"a header of {length} bytes in a file of {found.st_size}")
            start += self._file.read(length)
            header = json.loads(start[_LENGTH:])
            metadata = {str(k): str(v) for k, v in header.pop("__metadata__", {}).items()}
            size = max([0, *(array["data_offsets"][1] for array in header.values())])
        except OSError as error:
            raise self._unreadable(error) from None
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
            raise self._damaged("its header cannot be read") from None
        if found.st_size != len(start) + size:
            raise self._damaged(
                f"its header describes {len(start)} + {size} bytes, it has {found.st_size}"
            )
        return start, metadata, size

    def read(self) -> Arrays:
        """Return the arrays by name.

        Raises
        ------
        ModelFileError
            If they cannot be read, or the header does not describe them.
        """
        try:
            # A copy: a mapping of a file that someone cuts short meanwhile would end the process.
            return load(self._start + self._file.read(self.size))
        except OSError as error:
            raise self._unreadable(error) from None
        except MemoryError:
            raise ModelFileError(
                f"{self._source}: memory has no room for its arrays of {self.size} bytes."
            ) from None
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise self._damaged(str(error)) from None

    def _damaged(self, reason: str) -> ModelFileError:
        return ModelFileError(
            f"{self._source}: expected a .safetensors model file, but it is damaged or of another "
            f"kind ({reason})."
        )

    def _unreadable(self, error: OSError) -> ModelFileError:
        return ModelFileError(f"{self._source}: cannot be read: {error.strerror or error}.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()


def _kind_of(mode: int) -> str:
    """Name what a path leads to that is no regular file."""
    kinds = {
        stat.S_IFDIR: "a directory",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "no regular file")
