"""How many features and rows a module may take, by the sizes of its layers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ...errors import ConvertError
from ..common.builder import ModelBuilder
from ..labels.layers import InitialState, assemble
from .forms import STEPS, STREAMS, quiet_copy
from .modules import check_dimensions, layers_of_module

_WIDTHS = 8  # numbers of features that are tried
_SIZES = ("input_size", "in_channels", "in_features", "num_features")


@dataclass(frozen=True)
class Wanted:
    """What the caller says about the call of a module.

    Attributes
    ----------
    window : int, optional
        T, rows of a window.
    width : int, optional
        F, features of a row.
    output : int or str, optional
        Number among the tensors that it returns, or key, of the one to convert.
    """

    window: int | None = None
    width: int | None = None
    output: int | str | None = None


def build_registered(
    module: Any, activations: Mapping[str, str], states: Sequence[InitialState]
) -> ModelBuilder:
    """Return the layers of a module in the order in which they are registered."""
    layers = layers_of_module(module)
    check_dimensions(layers)
    return assemble(layers, dict(activations), list(states))


def candidate_widths(module: Any, wanted: Wanted) -> Iterator[tuple[int, int]]:
    """Yield the numbers of features and categories that an observation may have."""
    sizes: list[tuple[int, int]] = []
    try:
        model = build_registered(module, {}, ()).build("PyTorch")
        sizes.append((model.input_size, model.categories))
    except ConvertError:
        pass
    for child in module.modules():
        if hasattr(child, "num_embeddings"):
            sizes.append((1, child.num_embeddings))
        sizes += [(size, 0) for size in _sizes_of(child)]
    flat = [
        (child.in_features // wanted.window, 0)
        for child in module.modules()
        if wanted.window and isinstance(child, nn.Linear) and child.in_features > wanted.window
        if child.in_features % wanted.window == 0
    ]
    known = list(dict.fromkeys([*sizes[:1], *flat, *sizes[1:]] if _runs(module) else flat + sizes))
    known = known[:_WIDTHS]
    categories = next((c for _, c in known if c), 0)
    if wanted.width is not None:
        told = [(wanted.width, categories), (wanted.width, 0)]
        known = [size for size in told if size in known or not size[1]] + known
    more = [(F, 0) for F in range(1, 17)] + [(F, categories) for F in range(2, 9) if categories]
    yield from dict.fromkeys([*known, *more])


def _runs(module: Any) -> bool:
    return any(isinstance(child, nn.RNNBase) for child in module.modules())


def _sizes_of(child: Any) -> list[int]:
    found = [getattr(child, name, None) for name in _SIZES]
    return [size for size in found if isinstance(size, int)]


def rows_needed(module: Any, wanted: Wanted) -> int | None:
    """Return the number of rows with which a module can be called if it is a size of a layer.

    It may be the number with which it was called: not with random numbers, but with zeros.
    """
    sizes = [size for child in module.modules() for size in _sizes_of(child)]
    for child in module.modules():
        if isinstance(child, nn.LayerNorm):
            sizes.append(child.normalized_shape[0])
    if isinstance(module, torch.jit.ScriptModule):
        return None
    sizes = [wanted.window or STEPS, *sizes]
    with quiet_copy(module, torch.float32) as copied:
        for rows in dict.fromkeys(size for size in sizes if size > 1):
            for F, _ in candidate_widths(module, wanted):
                try:
                    copied(torch.zeros(STREAMS, rows, F))
                except Exception:  # of any type: it is the user's own code
                    continue
                return rows
    return None
