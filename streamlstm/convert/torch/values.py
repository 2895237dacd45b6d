"""What the tensors of one call of a module hold."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...errors import ConvertError
from ..labels.followed import Followed
from ..labels.signals import CONSTANT, Labels, Signal, Signals


@dataclass
class Value:
    """What a tensor holds that depends on the input.

    Attributes
    ----------
    labels : int64[...]
        Of its shape; None if it is not known.
    problem : ConvertError
        Why it is not known.
    integer : bool
        Whether it was rounded, so that only an embedding may take it.
    test : bool
        Whether it only says if numbers are finite.
    """

    labels: Labels | None = None
    problem: ConvertError | None = None
    integer: bool = False
    test: bool = False


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """Yield every tensor in arguments or return values."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict | tuple | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(inner)


class Values(Followed):
    """The tensors that depend on the input; all others are constants.

    Parameters
    ----------
    signals : Signals
    name : str
        Of the module.

    Attributes
    ----------
    path : list of str
        Names of the modules whose ``forward`` runs, the innermost last.
    runs : dict
        By source and module, the signals of the states of each run of a recurrent layer.
    """

    def __init__(self, signals: Signals, name: str) -> None:
        super().__init__(signals, [name])
        self.runs: dict[tuple[int, int], list[list[list[Signal]]]] = {}
        self._known: dict[int, tuple[torch.Tensor, Value]] = {}  # the tensor keeps its id in use

    def get(self, tensor: Any) -> Value | None:
        """Return what a tensor holds; None for a constant."""
        entry = self._known.get(id(tensor))
        return None if entry is None else entry[1]

    def set(self, tensors: Sequence[torch.Tensor], values: Sequence[Value]) -> None:
        """Say what tensors hold."""
        for tensor, value in zip(tensors, values, strict=True):
            self._known[id(tensor)] = (tensor, value)

    def is_live(self, value: Any) -> bool:
        """Return whether any tensor in a value depends on the input."""
        return any(id(t) in self._known for t in tensors_in(value))

    def labels(self, tensor: torch.Tensor, *, integer: bool = False) -> Labels:
        """Return the labels of a tensor; those of a constant are all CONSTANT.

        Raises
        ------
        ConvertError
            If what it holds is not known, or is rounded and ``integer`` is not set.
        """
        value = self.get(tensor)
        if value is None:
            return np.full(tuple(tensor.shape), CONSTANT, np.int64)
        if value.labels is None:
            raise value.problem or ConvertError("not known")
        if value.integer and not integer:
            raise ConvertError(
                f"{self.where} rounds numbers to whole ones, which only an embedding of the first "
                "input takes"
            )
        return value.labels

    def problem(self, value: Any) -> ConvertError | None:
        """Return why something in a value is not known; None if all is."""
        found = (self.get(tensor) for tensor in tensors_in(value))
        return next((v.problem for v in found if v is not None and v.labels is None), None)

    def spoil_views(self, tensor: torch.Tensor, name: str) -> None:
        """Forget what other tensors hold that share memory with one that was changed."""
        place = tensor.untyped_storage().data_ptr()
        problem = ConvertError(
            f"{self.where} changes a tensor in place ({name}) of which it uses a view"
        )
        for key, (other, _) in list(self._known.items()):
            if other is not tensor and other.untyped_storage().data_ptr() == place:
                self._known[key] = (other, Value(problem=problem))
