"""Layers that the operations of a program are, as PyTorch's modules."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

RECURRENT = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn_tanh": nn.RNN, "rnn_relu": nn.RNN}
CELLS = {
    "lstm_cell": nn.LSTMCell,
    "gru_cell": nn.GRUCell,
    "rnn_tanh_cell": nn.RNNCell,
    "rnn_relu_cell": nn.RNNCell,
}
_CONVOLUTIONS = ("conv1d", "_convolution")


def weight_of(name: str, args: Sequence[Any]) -> Any:
    """Return the first weight of a layer's operation; None if it is of another kind."""
    if name in CELLS:
        return args[2] if len(args) > 2 else None
    place = {"linear": 1, "embedding": 0, "batch_norm": 3, **dict.fromkeys(_CONVOLUTIONS, 1)}.get(
        name
    )
    if name in RECURRENT:
        # Packed series have their lengths in the second place.
        listed = args[2] if len(args) > 2 and isinstance(args[2], list | tuple) else None
        return listed[0] if listed else None
    return args[place] if place is not None and len(args) > place else None


def layer_of(name: str, args: Sequence[Any]) -> tuple[nn.Module, Any] | None:
    """Return the layer that an operation is, and its first weight; None if it is none."""
    weight = weight_of(name, args)
    if not isinstance(weight, torch.Tensor):
        return None
    if name == "linear":
        layer: nn.Module = nn.Linear(weight.shape[1], weight.shape[0], args[2] is not None)
        named = {"weight": weight, "bias": args[2]}
    elif name in CELLS:
        named = dict(zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), args[2:6], strict=False))
        more = {"nonlinearity": name.split("_")[1]} if name.startswith("rnn") else {}
        sizes: tuple[int, ...] = (weight.shape[1], named["weight_hh"].shape[1])
        layer = CELLS[name](*sizes, named.get("bias_ih") is not None, **more)
    elif name in _CONVOLUTIONS:
        if weight.dim() != 3 or (name == "_convolution" and args[6] is not False):
            return None
        stride, padding, dilation = args[3:6]
        groups = args[8 if name == "_convolution" else 6]
        sizes = (weight.shape[1] * groups, weight.shape[0], weight.shape[2])
        layer = nn.Conv1d(*sizes, stride, padding, dilation, groups, args[2] is not None)
        named = {"weight": weight, "bias": args[2]}
    elif name == "embedding":
        layer, named = nn.Embedding(*weight.shape), {"weight": weight}
    elif name == "batch_norm":
        layer = nn.BatchNorm1d(len(weight), float(args[7]), affine=args[1] is not None)
        named = dict(zip(("weight", "bias", "running_mean", "running_var"), args[1:5], strict=True))
    else:
        layer, named = _recurrent(name, args)
    with torch.no_grad():
        for key, tensor in named.items():
            if tensor is not None:
                getattr(layer, key).copy_(tensor)
    return layer.eval(), weight


def _recurrent(name: str, args: Sequence[Any]) -> tuple[nn.Module, dict[str, Any]]:
    weights, biased, levels, _, _, both, batch_first = args[2:9]
    each = len(weights) // (levels * (1 + both))
    projected = each == 5 or (each == 3 and not biased)
    gates = {"lstm": 4, "gru": 3}.get(name, 1)
    options: dict[str, Any] = {"bias": biased, "batch_first": batch_first, "bidirectional": both}
    if name.startswith("rnn"):
        options["nonlinearity"] = name.removeprefix("rnn_")
    if projected:
        options["proj_size"] = weights[each - 1].shape[0]
    H = weights[0].shape[0] // gates
    layer = RECURRENT[name](weights[0].shape[1], H, levels, **options)
    return layer, dict(zip((n for n, _ in layer.named_parameters()), weights, strict=True))
