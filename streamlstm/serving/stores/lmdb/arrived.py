"""A note in the folder of a fleet's worker: which partitions have come to it, and are committed.

From then on it has them, whatever happens, and no more the worker that they came from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ....errors import StoreError
from ....files import replace_file

_NOTE = "arrived.json"


def read_arrived(folder: Path) -> dict[int, int]:
    """Return the epoch of each partition that has come to a folder, empty if none has.

    Raises
    ------
    StoreError
        If the note cannot be read.
    """
    try:
        found = json.loads((folder / _NOTE).read_text())
        return {int(each): int(epoch) for each, epoch in found.items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StoreError(f"{folder / _NOTE}: cannot be read: {error.strerror}.") from None
    except (ValueError, AttributeError) as error:
        raise StoreError(
            f"{folder / _NOTE}: expected which partitions have come to this store ({error}); "
            "restore the folder of the fleet from a backup."
        ) from None


def write_arrived(folder: Path, epochs: Mapping[int, int]) -> None:
    """Note epochs of partitions instead of those that were noted, safe from a loss of power.

    Raises
    ------
    OSError
        If that cannot be written.
    """
    text = json.dumps({str(each): epoch for each, epoch in epochs.items()})
    replace_file(folder / _NOTE, text.encode(), durable=True)
