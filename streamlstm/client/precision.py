"""In which precision a client sends observations: float32, or float64 where a worker needs it.

A model with offsets needs float64; for all others float32 is the same, and a third of the bytes. A
client begins with float32, but for numbers of which that loses most, and learns from a refusal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from .. import wire
from ..errors import BadValueError, PrecisionError, RemoteError, shown

Message = TypeVar("Message", bound=wire.Step | wire.Steps | wire.Label)


class Precision:
    """What is known of the precision that a worker needs.

    Parameters
    ----------
    given : {"auto", "float64"}

    Attributes
    ----------
    full : bool or None
        Whether numbers are sent in full precision; None where the numbers themselves decide.
    """

    def __init__(self, given: str) -> None:
        if given not in ("auto", "float64"):
            raise BadValueError(f"precision: expected auto or float64, got {shown(given)}")
        self.full: bool | None = True if given == "float64" else None

    def build(self, make: Callable[..., Message], *arguments: Any) -> Message:
        """Return the message of some observations; after one of full precision all others are."""
        message = make(*arguments, self.full)
        if _is_full(message):
            self.full = True
        return message

    def again(
        self,
        error: RemoteError,
        refused: Message,
        make: Callable[..., Message],
        *arguments: Any,
    ) -> Message | None:
        """Return a refused message in full precision, to send it again: nothing of it was applied.

        None if the worker has refused it for another reason, or full precision is lost already.
        """
        if error.code != PrecisionError.code or _is_full(refused):
            return None
        self.full = True
        message = make(*arguments, True)
        return message if _is_full(message) else None


def _is_full(message: wire.Step | wire.Steps | wire.Label) -> bool:
    return isinstance(message[2], wire.Doubles)
