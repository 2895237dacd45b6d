"""What ``forward`` is given beside the series: a state of zeros, or the lengths of the series."""

import inspect
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

_STATE = re.compile(r"^_?(h|c|hc|hx|cx)_?\d*(_?(t|in|prev))?$|hid|state|cell|prev|carry|memory")
_LENGTHS = re.compile(r"^_?len|lens$|length")
Start = Callable[[torch.Tensor], Any]


def starts(
    module: nn.Module, count: int, stepwise: bool
) -> tuple[str, Callable[[torch.Tensor], list[Any]]] | None:
    """Return the names of what ``forward`` needs beside the series, and what gives it.

    It is known where the arguments are called as states are, one for each recurrent layer or
    vector of one, or as lengths are.

    Parameters
    ----------
    module : torch.nn.Module
    count : int
        Arguments before these.
    stepwise : bool
        Whether it is called row by row.
    """
    given = list(inspect.signature(module.forward).parameters.values())[count:]
    needed = [g.name for g in given if g.default is g.empty and g.kind is g.POSITIONAL_OR_KEYWORD]
    names = " and ".join(needed)
    if len(needed) == 1 and not stepwise and _LENGTHS.search(needed[0].lower()):
        return names, lambda x: [torch.full((x.shape[0],), x.shape[1], dtype=torch.int64)]
    if not needed or not all(_STATE.search(name.lower()) for name in needed):
        return None
    states = [_state(child) for child in module.modules() if _remembers(child)]
    if len(needed) == len(states):
        return names, lambda x: [state(x) for state in states]
    if len(states) == 1 and len(needed) == 2:
        return names, lambda x: list(states[0](x))
    return None


def _remembers(child: nn.Module) -> bool:
    return isinstance(child, nn.RNNBase | nn.modules.rnn.RNNCellBase)


def _state(layer: Any) -> Start:
    """Return what makes the state of a layer: h, or h and c."""
    cell = isinstance(layer, nn.modules.rnn.RNNCellBase)
    depth = 0 if cell else layer.num_layers * (2 if layer.bidirectional else 1)
    long_term = isinstance(layer, nn.LSTM | nn.LSTMCell)

    def zeros(x: torch.Tensor, size: int) -> torch.Tensor:
        return x.new_zeros(x.shape[0], size) if cell else x.new_zeros(depth, x.shape[0], size)

    def made(x: torch.Tensor) -> Any:
        h = zeros(x, getattr(layer, "proj_size", 0) or layer.hidden_size)
        return (h, zeros(x, layer.hidden_size)) if long_term else h

    return made
