"""Opens a CSV file or stream and splits it into rows of cells."""

from __future__ import annotations

import csv
import gzip
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO

from ...errors import DataError

Source = str | Path | IO[str]


@contextmanager
def open_source(source: Source) -> Iterator[tuple[str, IO[str]]]:
    """Open a source; yield its name in messages, and its text.

    Raises
    ------
    DataError
        Here or while it is read: if it cannot be opened or read, or is not UTF-8 or whole gzip.
    """
    path = str(getattr(source, "name", "<stream>"))
    try:
        if not isinstance(source, str | Path):
            yield path, source
        elif str(source) == "-":
            if sys.stdin is None:  # closed by the parent process
                raise DataError("<stdin>: expected CSV on standard input, but it is closed")
            yield "<stdin>", sys.stdin
        else:
            path = str(source)
            opener = gzip.open if path.endswith(".gz") else open
            with opener(path, "rt", encoding="utf-8-sig", newline="") as stream:
                yield path, stream
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: expected text in UTF-8, got byte 0x{error.object[error.start]:02x} that is "
            "not; convert the file to UTF-8"
        ) from error
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path}: expected a whole gzip file: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def split_rows(path: str, stream: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of each row that is not blank, as soon as it is there.

    The delimiter is the comma, semicolon or tab, whichever is most frequent in the first row.

    Raises
    ------
    DataError
        At a row that is not CSV or not as wide as the first.
    """
    lines = iter(stream)
    start = 1
    head = next(lines, "")
    while head and not head.strip():
        start += 1
        head = next(lines, "")
    delimiter = max(",;\t", key=head.count)  # the comma where there is none

    reader = csv.reader(chain([head] if head else [], lines), delimiter=delimiter, strict=True)
    width = 0
    line = start
    try:
        for row in reader:
            line = reader.line_num + start - 1
            if not row:
                continue
            width = width or len(row)
            if len(row) != width:
                raise DataError(
                    f"{path}:{line}: expected {width} cells as in the header, got {len(row)}"
                )
            yield line, row
    except csv.Error as error:
        raise DataError(f"{path}:{line + 1}: expected a row of CSV: {error}") from error
