"""Importing other frameworks, and quoting their errors."""

import re
from importlib import import_module
from typing import Any

from ...errors import ConvertError

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def require(module: str, purpose: str) -> Any:
    """Import a framework, or raise an error with the command that installs it.

    Parameters
    ----------
    module : str
        Its name for import and for pip, such as ``"onnx"``.
    purpose : str
        What it is needed for: a phrase that follows "needed to".

    Raises
    ------
    ConvertError
        If it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ConvertError(
            f"{module} is needed to {purpose} and cannot be imported ({error}): "
            f"pip install {module}."
        ) from None


def first_line(error: Exception) -> str:
    """Return the first line of another package's message, without terminal colour codes."""
    lines = _COLOURS.sub("", str(error)).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
