"""The settings that `train` takes by name: checked, and shown by help and completion."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

from ..errors import DataError
from .settings import Settings

_OTHERWISE = {"hidden_sizes", "target", "inputs"}  # parameters of their own


def check_known(names: Iterable[str]) -> None:
    """Raise DataError if there is no setting of a name; it names those that there are."""
    known = [field.name for field in fields(Settings) if field.name not in _OTHERWISE]
    for name in names:
        if name not in known:
            close = get_close_matches(name, known, 1)
            meant = f"did you mean {close[0]!r}? " if close else ""
            raise DataError(
                f"there is no setting {name!r}; {meant}The settings are {', '.join(known)}"
            )


def add_settings(function: Callable[..., Any]) -> None:
    """Let help and completion show each setting in the place of ``**settings``."""
    signature = inspect.signature(function)
    *named, _ = signature.parameters.values()
    taken = {parameter.name for parameter in named} | _OTHERWISE
    more = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type
        )
        for field in fields(Settings)
        if field.name not in taken
    ]
    vars(function)["__signature__"] = signature.replace(parameters=[*named, *more])
