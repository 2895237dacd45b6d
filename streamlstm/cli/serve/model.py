"""What a worker serves: a model file, or the detector."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from typer import BadParameter

if TYPE_CHECKING:
    from streamlstm.network.model import Model

DETECTOR_INPUT = "value"  # the one input of a detector whose inputs have no names


def check_served(given: str | None, detector: bool) -> Path | None:
    """Return the model file to serve; None for the detector.

    Raises
    ------
    BadParameter
        If it is not exactly one of both.
    """
    if not detector:
        if given is None:
            raise BadParameter("expected a model file, or --detector to serve without one")
        return Path(given)
    if given is not None and Path(given).is_file():
        raise BadParameter(
            f"expected a model file or --detector, not both; {given} is a file, and behind "
            "--detector stand the names of inputs, such as temperature,pressure"
        )
    return None


def load_served(file: Path | None, given: str | None) -> Model:
    """Return the model of a file, or the detector of inputs with these names."""
    from streamlstm.network.model import Model
    from streamlstm.online.detector import detector

    if file is not None:
        return Model.load(file)
    names = [name.strip() for name in (given or DETECTOR_INPUT).split(",")]
    if not all(names):
        raise BadParameter(f"--detector: expected names between the commas, got {given!r}")
    return detector(names)
