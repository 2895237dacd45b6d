"""What is said of a module that could not be called with a series."""

from typing import Any

from ...errors import ConvertError
from .forms import needed_arguments, takes_one
from .widths import Wanted


def how_called(module: Any, wanted: Wanted) -> str:
    """Return how a module was called in vain, and how it can be."""
    kind, names = type(module).__name__, needed_arguments(module)
    if len(names) > 1:
        return (
            f"{kind} takes {' and '.join(names)}, and a stream has one series: wrap it in a module "
            f"that takes one tensor and divides it, as {names[0]} = x[..., :n]"
        )
    if wanted.window is not None:
        return f"{kind} could not be called with a series of {wanted.window} rows"
    return (
        f"{kind} could not be called with a series of any length; if it takes windows of T rows, "
        "give their number (window=T)"
    )


def check_seen(module: Any, wanted: Wanted) -> None:
    """Refuse to guess what a ``forward`` does that no call of it has shown."""
    if type(module).forward.__module__.startswith("torch."):  # that of Sequential
        return
    told = f"{how_called(module, wanted)}. What"
    if takes_one(module):
        told = f"{type(module).__name__} takes one tensor, and what"
    raise ConvertError(
        f"{told} its forward does could not be seen, for it could not be called with a series of "
        "random numbers. If it applies its layers in the order in which they are registered, give "
        "its state_dict()."
    )
