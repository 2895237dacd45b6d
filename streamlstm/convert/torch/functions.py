"""PyTorch's functions by name: those that only move numbers, and those of single values."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from ...errors import ConvertError
from ...kernels.reference import activate
from ...network.activations import parse_activation
from ..common.weights import Float64Array
from ..labels.layers import Affine, TorchLayer, make_weights
from .modules import read_module


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Only move numbers or copy them; they are called once more with the labels of the numbers.
MOVES = _names(
    "getitem get view reshape flatten unflatten ravel permute transpose t swapaxes swapdims "
    "movedim moveaxis adjoint squeeze unsqueeze expand expand_as repeat tile broadcast_to "
    "contiguous clone detach narrow select index_select split chunk tensor_split unbind flip "
    "fliplr flipud roll gather take_along_dim diagonal view_as reshape_as requires_grad alias "
    "unfold repeat_interleave split_with_sizes unsafe_split unsafe_chunk hsplit vsplit "
    "atleast_2d atleast_3d masked_select take"
)
JOINS = _names("cat concat concatenate stack hstack vstack dstack column_stack row_stack")
SHAPED = _names("expand_as view_as reshape_as")  # the second tensor gives a shape only
CASTS = _names("to float double type type_as cpu half bfloat16 long int dropout identity")
# New tensors of the shape of another: constants.
MAKERS = _names(
    "zeros_like ones_like full_like empty_like new_zeros new_ones new_full new_empty new_tensor"
)
RANDOM = _names(
    "rand randn randint randperm rand_like randn_like randint_like normal bernoulli multinomial "
    "poisson uniform random exponential alpha_dropout feature_dropout rrelu gumbel_softmax"
)
READERS = _names("item tolist numpy bool float int index array contains equal allclose nonzero")
TESTS = _names("isnan isinf isfinite any all isreal logical_not")

_SINGLE: dict[str, Callable[..., nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "celu": nn.CELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "sigmoid": nn.Sigmoid,
    "special_expit": nn.Sigmoid,
    "expit": nn.Sigmoid,
    "logsigmoid": nn.LogSigmoid,
    "log_sigmoid": nn.LogSigmoid,
    "hardsigmoid": nn.Hardsigmoid,
    "hardswish": nn.Hardswish,
    "tanh": nn.Tanh,
    "hardtanh": nn.Hardtanh,
    "softsign": nn.Softsign,
    "softplus": nn.Softplus,
    "threshold": nn.Threshold,
    "clamp": lambda min=None, max=None: _clamp(min, max),
    "clip": lambda min=None, max=None: _clamp(min, max),
    "clamp_min": lambda min: _clamp(min, None),
    "clamp_max": lambda max: _clamp(None, max),
    "minimum": lambda other: _clamp(None, other),
    "maximum": lambda other: _clamp(other, None),
    "prelu": lambda weight: _prelu(weight),
}
SOFTMAX: dict[str, Callable[[], nn.Module]] = {
    "softmax": lambda: nn.Softmax(-1),
    "log_softmax": lambda: nn.LogSoftmax(-1),
    "softmin": lambda: nn.Softmin(-1),
}
_PROBES = np.concatenate(
    [np.linspace(-12, 12, 961), *(sign * np.geomspace(1e-6, 600, 200) for sign in (1, -1))]
)


def _clamp(low: Any, high: Any) -> nn.Module:
    low, high = (-3e38 if low is None else float(low)), (3e38 if high is None else float(high))
    return nn.ReLU() if (low, high) == (0, 3e38) else nn.Hardtanh(low, high)


def _prelu(weight: torch.Tensor) -> nn.Module:
    module = nn.PReLU(weight.numel())
    module.weight.data = weight.detach().clone()
    return module


def is_single(name: str) -> bool:
    """Return whether a function is of single values, and known here."""
    return name in _SINGLE or name == "exp"


def single(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> TorchLayer:
    """Return the layer that a function of single values is.

    Parameters
    ----------
    name : str
    args, kwargs
        Its arguments after the first tensor.

    Raises
    ------
    ConvertError
        If its parameters are not supported.
    """
    if name == "exp":
        return TorchLayer(name, "function", make_weights(name, {}), steps=["exponential"])
    try:
        module = _SINGLE[name](*args, **kwargs)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConvertError(f"{name} with parameters that no activation has here: {error}") from None
    layer = read_module(module, name)
    if layer is None:
        raise ConvertError(f"{name} has no activation here")
    return layer


def check_single(layer: TorchLayer, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Refuse a layer that gives other numbers than its function, on both sides of zero.

    The numbers reach from -600 to 600, so that both sides of every kink and saturation are met,
    whatever the network's own numbers are.
    """
    limits = [p for s in layer.steps if isinstance(s, str) for p in _parameters(s)]
    near = np.array([p + d for p in limits for d in (-1e-3, 0, 1e-3) if abs(p) < 1e6])
    x = np.concatenate([_PROBES, near])
    expected = function(torch.tensor(x)).double().numpy()
    found = apply_steps(layer.steps, x)
    scale = 1 + np.abs(expected)
    with np.errstate(invalid="ignore"):
        wrong = ~((expected == found) | (np.abs(expected - found) <= 1e-5 * scale))
    if wrong.any():
        at = x[int(np.argmax(wrong))]
        raise ConvertError(f"{layer.name} gives other numbers here than in PyTorch, at {at:g}")


def _parameters(activation: str) -> tuple[float, ...]:
    return parse_activation(activation, together=True)[1]


def apply_steps(steps: Any, x: Float64Array) -> Float64Array:
    """Apply the steps of a function to float64[...] by the reference kernels."""
    for step in steps:
        if isinstance(step, str):
            with np.errstate(over="ignore"):
                x = np.asarray(activate(parse_activation(step, together=True), x))
        else:
            weight, bias = _affine(step)
            x = x * weight + bias
    return x


def _affine(step: Affine) -> tuple[Any, Any]:
    weight, bias = step
    return np.asarray(weight), np.asarray(bias)
