"""A note in the folder of a fleet's worker: which partitions have come to it, and are committed.

From then on it has them, whatever happens, and no more the worker that they came from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ....files import replace_file

_NOTE = "arrived.json"


def read_arrived(folder: Path) -> dict[int, int]:
    """Return the epoch of each partition that has come to a folder, empty if none has."""
    try:
        return {int(each): int(epoch) for each, epoch in json.loads(_text(folder)).items()}
    except FileNotFoundError:
        return {}


def _text(folder: Path) -> str:
    return (folder / _NOTE).read_text()


def write_arrived(folder: Path, epochs: Mapping[int, int]) -> None:
    """Note epochs of partitions instead of those that were noted, safe from a loss of power.

    Raises
    ------
    OSError
        If that cannot be written.
    """
    text = json.dumps({str(each): epoch for each, epoch in epochs.items()})
    replace_file(folder / _NOTE, text.encode(), durable=True)
