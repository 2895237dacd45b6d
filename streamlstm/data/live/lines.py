"""The lines of a file or pipe, each as soon as it is there."""

from __future__ import annotations

import codecs
import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ...errors import DataError

Source = str | Path | IO[str]
"""A path (``.gz`` is unpacked), ``"-"`` for standard input, or an open text stream."""

LONGEST = 1 << 24
"""Characters of a line that are kept; what is longer is no row."""


@contextmanager
def open_lines(source: Source) -> Iterator[tuple[str, Iterator[tuple[int, str]]]]:
    """Open a source; yield its name in messages, and its lines with their numbers from 1.

    Text is UTF-8, or UTF-16 if it begins with a byte order mark; a line that is not UTF-8 is taken
    as Latin-1. Of a line longer than `LONGEST` the beginning is yielded.

    Raises
    ------
    DataError
        Here or while it is read, if it cannot be opened or read.
    """
    path = str(getattr(source, "name", "<stream>"))
    try:
        if not isinstance(source, str | Path):
            yield path, _number(source)
        elif str(source) == "-":
            path = "<stdin>"
            if sys.stdin is None:  # closed by the parent process
                raise DataError("<stdin>: expected CSV on standard input, but it is closed")
            with _decoded(sys.stdin.buffer) as text:
                yield path, _number(text)
        else:
            path = str(source)
            opener: Any = gzip.open if path.endswith(".gz") else open
            with opener(path, "rb") as stream, _decoded(stream) as text:
                yield path, _number(text)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path}: expected a whole gzip file: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


@contextmanager
def _decoded(raw: Any) -> Iterator[IO[str]]:
    utf_16 = raw.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    encoding, errors = ("utf-16", "replace") if utf_16 else ("utf-8-sig", "surrogateescape")
    text = io.TextIOWrapper(raw, encoding, errors=errors)
    try:
        yield text
    finally:
        text.detach()  # who opened the bytes closes them


def _number(text: IO[str]) -> Iterator[tuple[int, str]]:
    number = 0
    while line := text.readline(LONGEST):
        number += 1
        rest = line
        while len(rest) == LONGEST and not rest.endswith("\n"):
            rest = text.readline(LONGEST)
        if not line.isascii():
            line = _repair(line)
        yield number, line


def _repair(line: str) -> str:
    """Take a line with bytes that are not UTF-8 as Latin-1."""
    try:
        line.encode()
    except UnicodeEncodeError:
        return line.encode("utf-8", "surrogateescape").decode("latin-1")
    return line
