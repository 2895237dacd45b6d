"""The model of a fleet: a copy of its file for all workers, and how it changes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import BadValueError, ModelError, ModelFileError
from ..serving.fleet_reload import DONE
from .actions import Action
from .reload import WAITS, Reload


class FleetModel:
    """What the workers of a fleet serve.

    Workers get a copy of the file, so that one which is started later serves the same model as the
    others, whatever the file is by then.

    Parameters
    ----------
    file : Path or None
        The model's file; None for a detector, which never changes.
    folder : Path
        Where copies of it are kept.

    Attributes
    ----------
    copy : Path or None
        What workers that start now have to load.
    reload : Reload or None
        The last change.
    """

    def __init__(self, file: Path | None, folder: Path) -> None:
        self._file = None if file is None else file.absolute()
        self._folder, self._fingerprint = folder, ""
        self.copy: Path | None = None if file is None else self._copy(0)
        self.reload: Reload | None = None

    def _copy(self, number: int) -> Path:
        assert self._file is not None
        copy = self._folder / f"model-{number}.safetensors"
        try:
            shutil.copyfile(self._file, copy)
        except OSError as error:
            raise ModelFileError(f"{self._file}: cannot be read: {error.strerror}") from None
        return copy

    def refusal(self, worker: str, fingerprint: str, version: str) -> str | None:
        """Return why a worker that has started is refused; None if it may serve."""
        if version != __version__:
            return (
                f"this is streamlstm {version}, the fleet's is {__version__}, and versions are not "
                "mixed; install the fleet's version here, or start the whole fleet with the other"
            )
        if not self._fingerprint or self.is_changing:
            self._fingerprint = fingerprint
        if fingerprint == self._fingerprint:
            return None
        return (
            f"{worker} has another model ({fingerprint[:8]}) than the fleet "
            f"({self._fingerprint[:8]}); give it the fleet's model file, or change the model of "
            "all workers with streamlstm fleet reload"
        )

    # --- a change ---

    @property
    def is_changing(self) -> bool:
        """True while a change is under way: no partition moves then."""
        return self.reload is not None and self.reload.is_under_way

    def ask(self, anew: bool, at_once: bool) -> None:
        """Begin a change, or join one that is being prepared.

        Raises
        ------
        ModelError
            If the model came from no file.
        ModelFileError
            If the file cannot be read.
        BadValueError
            If another change is under way.
        """
        if self._file is None:
            raise ModelError("reload: a detector never changes; this fleet has no model file.")
        before = self.reload
        if before is not None and before.is_under_way:
            if before.anew == anew and not before.has_begun:
                return
            raise BadValueError("reload: another one is under way; ask again when it is done")
        number = 1 if before is None else before.number + 1
        self.reload = Reload(number, str(self._copy(number)), anew, at_once)

    def begin(self, workers: Sequence[str]) -> list[Action]:
        """Begin with the change that was asked for, if it waits for that."""
        if self.reload is None or self.reload.state != WAITS:
            return []
        return self.reload.begin(workers)

    def said(self, worker: str, number: int, how_far: str, value: Any) -> list[Action]:
        """Go on after a worker has said how far it is."""
        if self.reload is None or number != self.reload.number:
            return []
        if how_far == DONE:
            self._fingerprint = value["model"]
        return self._after(self.reload, self.reload.said_by(worker, how_far, value))

    def died(self, worker: str) -> list[Action]:
        """Note the end of a worker."""
        if self.reload is None or not self.reload.is_under_way:
            return []
        return self._after(self.reload, self.reload.died(worker))

    def _after(self, reload: Reload, actions: list[Action]) -> list[Action]:
        """Let workers that start from now on have the model that counts."""
        if reload.has_begun and self.copy != Path(reload.file):
            assert self.copy is not None
            self.copy.unlink(missing_ok=True)
            self.copy = Path(reload.file)
        elif not reload.is_under_way and not reload.has_begun:
            Path(reload.file).unlink(missing_ok=True)
        return actions
