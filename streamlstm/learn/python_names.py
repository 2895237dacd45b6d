"""Errors of reading a table name options of the command line; in Python they name parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import DataError

_NAMES = {"input": "inputs", "missing-value": "missing_values"}
_SWITCHES = ("sort", "allow-gaps")
# What may follow an option and is its value, where it stands without quotation marks.
_VALUES = {
    "decimal": "[.,]",
    "difference": r"[^\s,;:)]+",
    "fill": "(?:last|mean|zero|predict)",
    "input": r"[^\s,;:)]+",
    "missing-value": r"[^\s,;:)]+",
    "thousands": "[.,']",
    "time-unit": r"[^\s,;:)]+",
    "timezone": r"[A-Z][\w/+-]*",
}
_OPTION = re.compile(r"--(?P<name>[a-z]+(?:-[a-z]+)*)(?: '(?P<quoted>[^']*)')?")


@contextmanager
def naming_parameters() -> Iterator[None]:
    """Let errors from within name parameters."""
    try:
        yield
    except DataError as error:
        message = str(error)
        translated = with_parameters(message)
        if translated == message:
            raise
        raise type(error)(translated) from None


def with_parameters(message: str) -> str:
    """Return a message with ``sort=True`` for ``--sort``, and ``decimal=','`` for ``--decimal ,``.

    What stands between backticks is a command, and stays.
    """
    parts = message.split("`")
    parts[::2] = [_translated(part) for part in parts[::2]]
    return "`".join(parts)


def _translated(text: str) -> str:
    made, place = "", 0
    for option in _OPTION.finditer(text):
        name, value, end = option["name"], option["quoted"], option.end()
        if value is None and name in _VALUES:
            bare = re.compile(f" ({_VALUES[name]})").match(text, end)
            value, end = (None, end) if bare is None else (bare[1], bare.end())
        parameter = _NAMES.get(name, name.replace("-", "_"))
        if value is not None:
            parameter += f"={(value,)!r}" if name == "missing-value" else f"={value!r}"
        elif name in _SWITCHES:
            parameter += "=True"
        made += text[place : option.start()] + parameter
        place = end
    return made + text[place:]
