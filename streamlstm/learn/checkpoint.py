"""The state of a training run in a file, from which it continues bit for bit after a kill."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, ModelFileError
from ..network.safetensors_file import SafetensorsFile, write_safetensors
from .dataset import Dataset
from .settings import NetworkSettings, OptimizationSettings, Settings
from .sweep.record import remove_sweep

Array = NDArray[Any]
_FORMAT = "1"
_BETWEEN = 1.0  # seconds between two writes, at least
_SHARE = 0.05  # of the time of training, at most, that writing may take
_MAY_DIFFER = {"epochs"}  # settings that may change between a run and its continuation


class Snapshot(NamedTuple):
    """The state of a training run between two epochs.

    Attributes
    ----------
    arrays : dict of str to array
    numbers : dict of str to object
        Plain values for JSON.
    """

    arrays: dict[str, Array]
    numbers: dict[str, Any]


class Checkpoint:
    """A file with the state of one training: of this data, these settings and this start.

    Parameters
    ----------
    path : Path
        It is replaced as a whole; a kill leaves the state before or the one after.
    data : Dataset
    settings : Settings
    start : sequence of dict of str to array, optional
        The weights that training began with, if they were given.
    """

    def __init__(
        self,
        path: Path,
        data: Dataset,
        settings: Settings,
        start: Sequence[Mapping[str, Array]] | None = None,
    ) -> None:
        self.path = path
        weights = [w[name] for w in start or () for name in sorted(w)]
        self._identity = {
            "format": _FORMAT,
            "settings": json.dumps(settings.of(NetworkSettings, OptimizationSettings)),
            "data": _digest([data.X, data.Y, data.train_rows, data.validation_rows]),
            "start": _digest(weights),
        }
        self._next_write = 0.0

    def load(self) -> Snapshot | None:
        """Return the state in the file; None if there is no file.

        Raises
        ------
        DataError
            If it is damaged, or the state of another training.
        """
        if not self.path.exists():
            return None
        try:
            with SafetensorsFile(self.path) as file:
                metadata, arrays = file.metadata, file.read()
            numbers = json.loads(metadata.pop("numbers"))
        except (ModelFileError, KeyError, ValueError):
            raise DataError(
                f"{self.path}: expected the checkpoint of a training, this file is damaged or of "
                "another kind; name another file"
            ) from None
        self.check(metadata, self.path)
        return Snapshot(arrays, numbers)

    @property
    def identity(self) -> dict[str, str]:
        """What tells this training from others."""
        return dict(self._identity)

    def save(self, take: Callable[[], Snapshot], *, last: bool = False) -> None:
        """Write the state, unless the last write was a moment ago and more epochs will follow.

        Raises
        ------
        DataError
            If the file cannot be written.
        """
        began = time.monotonic()
        if began < self._next_write and not last:
            return
        arrays, numbers = take()
        metadata = self._identity | {"numbers": json.dumps(numbers)}
        try:
            write_safetensors(self.path, arrays, metadata)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be written: {error.strerror}") from None
        now = time.monotonic()
        self._next_write = now + max(_BETWEEN, (now - began) / _SHARE)

    def remove(self) -> None:
        """Remove the file, and the folder of a sweep: the model has been written."""
        self.path.unlink(missing_ok=True)
        remove_sweep(self.path)

    def check(self, found: Mapping[str, str], path: Path, others: Sequence[str] = ()) -> None:
        """Raise DataError, by name, if a file or folder is of another training.

        Parameters
        ----------
        found : dict of str to str
            Its identity.
        path : Path
            In the message.
        others : sequence of str
            Further reasons.
        """
        theirs = json.loads(found.get("settings", "{}"))
        ours = json.loads(self._identity["settings"])
        reasons = [
            *others,
        ] + [
            f"{name} was {theirs.get(name)}, now {ours.get(name)}"
            for name in sorted(theirs.keys() | ours.keys())
            if theirs.get(name) != ours.get(name) and name not in _MAY_DIFFER
        ]
        if found.get("data") != self._identity["data"]:
            reasons.append("the data have changed")
        if found.get("start") != self._identity["start"]:
            reasons.append("the model to train on is another")
        if found.get("format") != _FORMAT:
            reasons.append("another version wrote it")
        if reasons:
            raise DataError(
                f"{path}: is the checkpoint of another training: {'; '.join(reasons)}; name "
                "another file, or remove it to begin anew"
            )


def _digest(arrays: Sequence[Array]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(str((array.dtype, array.shape)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:32]
