"""The model that a machine of a fleet on many serves, and its number among those of the fleet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .model import FleetModel
from .reload import IS_DONE, SWITCHES


@dataclass
class MachineModel:
    """What a machine serves.

    Attributes
    ----------
    file : Path or None
        That its person named; None for a detector.
    fingerprint : str
    number : int or None
        How often the fleet has changed its model; None for a detector.
    """

    file: Path | None
    fingerprint: str
    number: int | None = field(init=False)

    def __post_init__(self) -> None:
        self.number = None if self.file is None else 0

    def content(self) -> bytes | None:
        """Return the file as it is now."""
        try:
            return None if self.file is None else self.file.read_bytes()
        except OSError:
            return b""  # which no worker takes

    def of_fleet(self, use_model: Callable[[int, bytes], object]) -> FleetModel:
        """Return it as that of the fleet, when this machine begins to lead."""
        return FleetModel(self.file, use_model, self.number, self.fingerprint)

    def follow(self, reload: Mapping[str, Any] | None) -> None:
        """Note how far a change of the model is."""
        if reload is not None and reload["state"] in (SWITCHES, IS_DONE):
            self.number, self.fingerprint = reload["number"], reload["model"]
