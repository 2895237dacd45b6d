"""What a sweep has found so far, in a file, so that after a kill nothing is trained again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ...errors import DataError
from ...files import replace_file
from ..settings import NetworkSettings, OptimizationSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..checkpoint import Checkpoint

_FILE = "sweep.json"


class Record:
    """The results of trials that have ended a round.

    Parameters
    ----------
    folder : Path
        Of the sweep.
    identity : Checkpoint
        Of the training that was asked for: its data, settings and start.
    candidates : sequence of Settings
        What is tried.

    Raises
    ------
    DataError
        If the folder has the results of another sweep.
    """

    def __init__(self, folder: Path, identity: Checkpoint, candidates: Sequence[Settings]) -> None:
        self._path = folder / _FILE
        tried = [candidate.of(NetworkSettings, OptimizationSettings) for candidate in candidates]
        digest = hashlib.sha256(json.dumps(tried).encode()).hexdigest()[:32]
        self._identity = {**identity.identity, "tried": digest}
        self._results: dict[str, dict[str, Any]] = {}
        if not self._path.exists():
            return
        try:
            found = json.loads(self._path.read_text())
            self._results, theirs = dict(found["results"]), dict(found["identity"])
        except (OSError, ValueError, KeyError, TypeError):
            raise DataError(
                f"{self._path}: expected the results of a sweep, this file is damaged; remove "
                f"{folder} to begin anew"
            ) from None
        others = ["other settings are tried"] if theirs.get("tried") != digest else []
        identity.check(theirs, folder, others)

    def result(self, number: int, epochs: int) -> Mapping[str, Any] | None:
        """Return what a trial said at the end of a round; None if it has not come so far."""
        return self._results.get(f"{number}/{epochs}")

    def add(self, number: int, epochs: int, said: Mapping[str, Any]) -> None:
        """Write what a trial said at the end of a round.

        Raises
        ------
        DataError
            If the file cannot be written.
        """
        self._results[f"{number}/{epochs}"] = dict(said)
        content = {"identity": self._identity, "results": self._results}
        try:
            replace_file(self._path, json.dumps(content).encode())
        except OSError as error:
            raise DataError(f"{self._path}: cannot be written: {error.strerror}") from None


def folder_of(checkpoint: Path) -> Path:
    """Return the folder of the sweep that a checkpoint belongs to."""
    return checkpoint.with_name(f"{checkpoint.name}.sweep")


@contextmanager
def sweep_folder(checkpoint: Path | None) -> Iterator[Path]:
    """Yield the folder of a sweep: beside the checkpoint, where it stays, or a temporary one.

    Raises
    ------
    DataError
        If it cannot be made.
    """
    if checkpoint is None:
        with TemporaryDirectory(prefix="streamlstm-sweep-") as name:
            yield Path(name)
        return
    folder = folder_of(checkpoint)
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made: {error.strerror}") from None
    yield folder


def remove_sweep(checkpoint: Path) -> None:
    """Remove the folder of the sweep of a checkpoint, if there is one."""
    rmtree(folder_of(checkpoint), ignore_errors=True)
