"""The model of a fleet: a copy of its file for all workers, and how it changes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import BadValueError, ModelError, ModelFileError
from ..serving.fleet_reload import DONE
from .actions import Action
from .launcher import model_name
from .reload import WAITS, Reload


class FleetModel:
    """What the workers of a fleet serve.

    Workers get a copy of the file, so that one which is started later serves the same model as the
    others, whatever the file is by then.

    Parameters
    ----------
    file : Path or None
        The model's file; None for a detector, which never changes.
    keep : callable
        Lets all machines have a copy, with its number.
    number : int, optional
        Of the copy that they have already.
    fingerprint : str
        Of the model, if it is known.

    Attributes
    ----------
    fingerprint : str
        Of the model; empty until a worker has said it.
    number : int or None
        Of the copy that workers have to load that start now.
    reload : Reload or None
        The last change.
    """

    def __init__(
        self,
        file: Path | None,
        keep: Callable[[int, bytes], object],
        number: int | None = None,
        fingerprint: str = "",
    ) -> None:
        self._file = None if file is None else file.absolute()
        self._keep, self.fingerprint = keep, fingerprint
        self.number = number
        self.reload: Reload | None = None
        if file is not None and number is None:
            self.number = 0
            self._copy(0, None)

    def _copy(self, number: int, content: bytes | None) -> None:
        assert self._file is not None
        try:
            self._keep(number, self._file.read_bytes() if content is None else content)
        except OSError as error:
            raise ModelFileError(f"{self._file}: cannot be read: {error.strerror}") from None

    def refusal(self, worker: str, fingerprint: str, version: str) -> str | None:
        """Return why a worker that has started is refused; None if it may serve."""
        if version != __version__:
            return (
                f"this is streamlstm {version}, the fleet's is {__version__}, and versions are not "
                "mixed; install the fleet's version here, or start the whole fleet with the other"
            )
        if not self.fingerprint or self.is_changing:
            self.fingerprint = fingerprint
        if fingerprint == self.fingerprint:
            return None
        return (
            f"{worker} has another model ({fingerprint[:8]}) than the fleet "
            f"({self.fingerprint[:8]}); give it the fleet's model file, or change the model of "
            "all workers with streamlstm fleet reload"
        )

    # --- a change ---

    @property
    def is_changing(self) -> bool:
        """True while a change is under way: no partition moves then."""
        return self.reload is not None and self.reload.is_under_way

    def ask(self, anew: bool, at_once: bool, content: bytes | None = None) -> None:
        """Begin a change, or join one that is being prepared.

        Parameters
        ----------
        anew, at_once
            As in :class:`.reload.Reload`.
        content : bytes, optional
            Of the file; else it is read.

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
        number = max(self.number or 0, 0 if before is None else before.number) + 1
        self._copy(number, content)
        self.reload = Reload(number, model_name(number), anew, at_once)

    def begin(self, workers: Sequence[str]) -> list[Action]:
        """Begin with the change that was asked for, if it waits for that."""
        if self.reload is None or self.reload.state != WAITS:
            return []
        return self.reload.begin(workers)

    def said(self, worker: str, number: int, how_far: str, value: Any) -> list[Action]:
        """Go on after a worker has said how far it is."""
        if self.reload is None or number != self.reload.number:
            return []
        if isinstance(value, str):  # why it refused: people know their file, not the copy of it
            value = re.sub(rf"\S*{re.escape(model_name(number))}", str(self._file), value)
        if how_far == DONE:
            self.fingerprint = value["model"]
        return self._after(self.reload, self.reload.said_by(worker, how_far, value))

    def died(self, worker: str) -> list[Action]:
        """Note the end of a worker."""
        if self.reload is None or not self.reload.is_under_way:
            return []
        return self._after(self.reload, self.reload.died(worker))

    def _after(self, reload: Reload, actions: list[Action]) -> list[Action]:
        """Let workers that start from now on have the model that counts."""
        if reload.has_begun:
            self.number = reload.number
        return actions
