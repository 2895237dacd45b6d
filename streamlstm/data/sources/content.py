"""Content: the bytes of a file, a pipe or a stream, unpacked and in UTF-8."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import stat
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from ...errors import DataError

_BLOCK = 1 << 19
_HEAD = 1 << 20
_LINE_FEED = ord("\n")

_MARKS = (  # byte order marks, the longer before those that they begin with
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True)
class Content:
    """Bytes that can be read again and again.

    Attributes
    ----------
    path : str
        Name in messages.
    data : bytes or None
        The bytes, if they had to be taken into memory; otherwise they stay in the file.
    start : int
        The first byte that counts.
    """

    path: str
    data: bytes | None = None
    start: int = 0

    def open(self, offset: int = 0) -> Any:
        """Open for Arrow, from a byte on."""
        if self.data is not None:
            return pa.BufferReader(pa.py_buffer(self.data).slice(self.start + offset))
        file = pa.OSFile(self.path)
        file.seek(self.start + offset)
        return file

    def blocks(self) -> Iterator[bytes]:
        """Yield the bytes in blocks of some hundred kilobytes."""
        with self.open() as file:
            while block := file.read(_BLOCK):
                yield block

    def head(self, size: int = _HEAD) -> bytes:
        """Return the first bytes."""
        with self.open() as file:
            return bytes(file.read(size))

    def whole(self) -> bytes:
        """Return all bytes."""
        return b"".join(self.blocks())

    def text(self) -> IO[str]:
        """Open as text."""
        return io.TextIOWrapper(io.BytesIO(self.whole()), "utf-8", newline="")


@dataclass(frozen=True)
class Scan:
    """What a look at every byte tells.

    Attributes
    ----------
    lines : int
        Number of lines, without blank ones at the end.
    quotes : int
        Number of quotation marks.
    encoding : str
        ``utf-8``, or ``cp1252`` if the bytes are not that.
    """

    lines: int
    quotes: int
    encoding: str


def open_content(source: Any) -> Content:
    """Return the bytes of a path, of ``-`` for standard input, or of an open stream, unpacked.

    Raises
    ------
    DataError
        If it cannot be opened or read, or is not whole gzip.
    """
    path = (
        str(source) if isinstance(source, str | Path) else str(getattr(source, "name", "<stream>"))
    )
    try:
        if path == "-":
            if sys.stdin is None:  # closed by the parent process
                raise DataError("<stdin>: expected a table on standard input, but it is closed")
            path, source = "<stdin>", getattr(sys.stdin, "buffer", sys.stdin)
        if isinstance(source, str | Path):
            if stat.S_ISREG(os.stat(path).st_mode):
                content = Content(path)
                with open(path, "rb"):  # Python's errors are better than Arrow's
                    pass
            else:
                content = Content(path, Path(path).read_bytes())
        else:
            read = source.read()
            content = Content(path, read.encode() if isinstance(read, str) else read)
        if content.head(2) == b"\x1f\x8b":
            content = Content(path, gzip.decompress(content.whole()))
        return content
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path}: expected a whole gzip file: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def to_utf8(content: Content) -> tuple[Content, Scan, str | None]:
    """Return the content as UTF-8 with line feeds, what a scan finds, and the encoding if another.

    Raises
    ------
    DataError
        If it is not text.
    """
    head = content.head()
    encoding = "utf-8"
    for mark, name in _MARKS:
        if head.startswith(mark):
            encoding = name
            content = replace(content, start=content.start + len(mark))
            break
    else:
        if b"\0" in head:
            encoding = _without_mark(content.path, head)
    if encoding != "utf-8":
        content = _decoded(content, encoding)
    if b"\r" in head and b"\n" not in content.head():  # as old Macintoshes wrote lines
        content = Content(content.path, content.whole().replace(b"\r", b"\n"))
    scan = _scan(content)
    if scan.encoding != "utf-8":
        encoding = scan.encoding
        content = _decoded(content, encoding)
    return content, scan, None if encoding == "utf-8" else encoding


def _without_mark(path: str, head: bytes) -> str:
    """Return which UTF-16 it is where every second byte is zero."""
    zeros = [head[k::2].count(0) / max(len(head[k::2]), 1) for k in (0, 1)]
    if min(zeros) < 0.05 and max(zeros) > 0.5:
        return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    raise DataError(f"{path}: expected a table as text, got bytes that are none")


def _decoded(content: Content, encoding: str) -> Content:
    data = content.whole()
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "cp1252":
            raise DataError(f"{content.path}: expected text in {encoding}: {error}") from error
        text = data.decode("latin-1")
    return Content(content.path, text.encode())


def _scan(content: Content) -> Scan:
    lines, quotes, encoding, blank, last = 0, 0, "utf-8", 0, b"\n"
    decoder = codecs.getincrementaldecoder("utf-8")()
    for block in content.blocks():
        codes = np.frombuffer(block, np.uint8)
        lines += int(np.count_nonzero(codes == _LINE_FEED))  # bytes.count is slow
        quotes += block.count(b'"')
        end = block.rstrip(b"\r\n")
        blank = block[len(end) :].count(b"\n") + (blank if not end else 0)
        last = block[-1:]
        if encoding == "utf-8":
            encoding = _valid(decoder, block)
    if encoding == "utf-8":
        encoding = _valid(decoder, b"", final=True)
    return Scan(lines - max(blank - 1, 0) + (last != b"\n"), quotes, encoding)


def _valid(decoder: codecs.IncrementalDecoder, block: bytes, final: bool = False) -> str:
    if block.isascii() and not final and decoder.getstate()[0] == b"":
        return "utf-8"
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"
