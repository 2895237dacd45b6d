"""The module that a state dict belongs to: a class of the user's own, loaded with the weights."""

import copy
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from ...errors import ConvertError
from .file import find_state_dict
from .order import without_prefix


def import_module_class(reference: str, arguments: Mapping[str, Any]) -> Any:
    """Import a class by ``package.file:Class``, which runs its code, and make a module of it.

    The current folder is searched too.

    Parameters
    ----------
    reference : str
    arguments : mapping
        Keyword arguments of the class.

    Raises
    ------
    ConvertError
        If there is no such class, or it cannot be made with these arguments.
    """
    name, colon, path = reference.partition(":")
    if not (colon and name and path):
        raise ConvertError(
            f"--module: expected package.file:Class, such as my_package.my_file:MyNet, got "
            f"{reference!r}."
        )
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found: Any = import_module(name)
    except Exception as error:  # of any type: it is the user's own code
        raise ConvertError(
            f"--module: importing {name} failed: {type(error).__name__}: {error}."
        ) from error
    for part in path.split("."):
        if not hasattr(found, part):
            classes = [key for key, value in vars(found).items() if isinstance(value, type)]
            listed = f"; it has {', '.join(classes[:12])}" if classes else ""
            raise ConvertError(f"--module: {name} has no {path}{listed}.")
        found = getattr(found, part)
    if not callable(found):
        raise ConvertError(f"--module: expected a class, {reference} is a {type(found).__name__}.")
    try:
        return found(**arguments)
    except Exception as error:
        raise ConvertError(
            f"--module: {path} cannot be made with --args {dict(arguments)}: "
            f"{type(error).__name__}: {error}."
        ) from error


def load_weights(module: Any, source: Any) -> Any:
    """Return a copy of a module with the weights of a state dict, each of which must fit.

    Raises
    ------
    ConvertError
        If a weight is missing, left over or of another shape.
    """
    if not hasattr(module, "load_state_dict") or isinstance(module, type):
        raise ConvertError(
            f"module: expected a torch.nn.Module, made with its arguments, got {module!r}."
        )
    if not isinstance(source, Mapping):
        raise ConvertError("module: it goes with a state dict, or the file of one.")
    state = dict(find_state_dict(source))
    loaded = copy.deepcopy(module)
    own = set(loaded.state_dict())
    if not own & state.keys():
        state = without_prefix(state, own)
    try:
        loaded.load_state_dict(_tensors(state), strict=True)
    except (RuntimeError, TypeError) as error:
        told = " ".join(str(error).split())
        raise ConvertError(
            f"the weights are not those of {type(module).__name__}: {told}"
        ) from None
    return loaded


def _tensors(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return arrays as tensors."""
    from torch import as_tensor

    return {key: as_tensor(value) for key, value in state.items()}
