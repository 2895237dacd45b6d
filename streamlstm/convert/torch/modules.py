"""PyTorch's modules read into parts: containers are walked, layers and activations looked up."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from ...errors import ConvertError
from ...network.activations import name_activation
from .parts import Part, Scale, make_weights
from .state import INITIAL_C, INITIAL_H, QUANTIZED, place_initial

Steps = Sequence[str | Scale]

_NOTHING = (
    nn.Identity,
    nn.Flatten,
    nn.Dropout,
    nn.Dropout1d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
    nn.modules.loss._Loss,
)
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_RECURRENT: dict[type[nn.Module], str] = {
    nn.LSTM: "lstm",
    nn.GRU: "gru",
    nn.RNN: "rnn",
    nn.LSTMCell: "lstm",
    nn.GRUCell: "gru",
    nn.RNNCell: "rnn",
}
_SOFTMAX = (nn.Softmax, nn.LogSoftmax, nn.Softmin)
_REASONS = {
    "MultiheadAttention": "it attends to the whole past, which cannot be stepped",
    "Transformer": "it attends to the whole past, which cannot be stepped",
    "Conv": "a convolution looks at several steps at once",
    "Pool": "pooling looks at several steps at once",
    "EmbeddingBag": "it sums over several categories",
    "quantized": QUANTIZED,
}


def parts_of_module(module: nn.Module) -> list[Part]:
    """Return the layers of a module, in the order in which they are registered.

    Raises
    ------
    ConvertError
        If there is one that cannot be stepped or is not known.
    """
    parts: list[Part] = []
    _walk(module, "", parts)
    if not parts:
        raise ConvertError(f"{type(module).__name__} has no layers.")
    return parts


def _walk(module: nn.Module, name: str, parts: list[Part]) -> None:
    part = find_leaf(module, name or type(module).__name__)
    if part is not None:
        parts.append(part)
        return
    if isinstance(module, _NOTHING):
        return
    _check_container(module, name or type(module).__name__)
    first = len(parts)
    # Not named_children: it leaves out an activation that is registered a second time.
    for child_name, child in module._modules.items():
        if child is not None:
            _walk(child, f"{name}.{child_name}" if name else child_name, parts)
    _take_own(module, name, parts[first:])


def _check_container(module: nn.Module, name: str) -> None:
    """Refuse what is neither a layer nor a container of layers."""
    kind = type(module)
    ours = kind.__module__.startswith("torch.") and not isinstance(module, _CONTAINERS)
    scripted = isinstance(module, torch.jit.ScriptModule)
    if kind.__module__.startswith("torchmetrics."):
        return
    if not scripted and (kind.__name__ == "OptimizedModule" or "parallel" in kind.__module__):
        return
    if ours or not module._modules or scripted:
        known = f"{kind.__name__} {kind.__module__}"
        reasons = [reason for word, reason in _REASONS.items() if word in known]
        reason = reasons[0] if reasons else "what it computes is not known here"
        raise ConvertError(
            f"{name} ({kind.__name__}) cannot be taken over: {reason}. If it only picks or shapes "
            "values, give a torch.nn.Sequential of the other layers."
        )


def _take_own(module: nn.Module, name: str, inside: list[Part]) -> None:
    """Take a container's own parameters as a trained initial state, or refuse them."""
    own = {key: value for key, value in module._parameters.items() if value is not None}
    own |= {key: value for key, value in module._buffers.items() if value is not None}
    initial = {key: own.pop(key) for key in list(own) if key in (*INITIAL_H, *INITIAL_C)}
    if own:
        listed = ", ".join(f"{key} {tuple(value.shape)}" for key, value in own.items())
        raise ConvertError(
            f"{name or type(module).__name__} has weights of its own, {listed}, and only its "
            "forward knows what for: give a torch.nn.Sequential of its layers, and what scales "
            "inputs or outputs as input_scaling= or output_scaling=."
        )
    if initial:
        place_initial(name, initial, inside)


def find_leaf(module: nn.Module, name: str) -> Part | None:
    """Return the part that a module is, None if it is a container or nothing at all."""
    kind, options = _layer(module, name)
    if kind is not None:
        return Part(name, kind, make_weights(name, _tensors(module)), options)
    for class_, steps in _ACTIVATIONS.items():
        if isinstance(module, class_):
            options = {"dim": module.dim} if isinstance(module, _SOFTMAX) else {}
            return Part(name, "function", make_weights(name, {}), options, steps(module, name))
    return None


def _tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return a layer's weights, computed ones of parametrizations and hooks among them."""
    tensors = {**dict(module._parameters), **dict(module._buffers)}
    for key in getattr(module, "parametrizations", {}):
        tensors[key] = getattr(module, key)
    for hook in module._forward_pre_hooks.values():
        _compute(module, hook, tensors)
    return {key: tensor for key, tensor in tensors.items() if tensor is not None}


def _compute(module: nn.Module, hook: Any, tensors: dict[str, Any]) -> None:
    """Put in what a hook of weight_norm, spectral_norm or pruning computes, for what it is from."""
    with torch.no_grad():
        if hasattr(hook, "apply_mask"):
            key = hook._tensor_name
            weight = hook.apply_mask(module)
        elif hasattr(hook, "n_power_iterations"):
            key = hook.name
            weight = hook.compute_weight(module, do_power_iteration=False)
        elif hasattr(hook, "compute_weight"):
            key, weight = hook.name, hook.compute_weight(module)
        else:
            return
    for suffix in ("g", "v", "u", "orig", "mask"):
        tensors.pop(f"{key}_{suffix}", None)
    tensors[key] = weight


def _layer(module: nn.Module, name: str) -> tuple[str | None, dict[str, Any]]:
    """Return kind and options of a layer with weights."""
    for class_, kind in _RECURRENT.items():
        if isinstance(module, class_):
            return "recurrent", _recurrent_options(module, name, kind)
    if isinstance(module, nn.Linear):
        return "linear", {}
    if isinstance(module, nn.BatchNorm1d):
        if module.running_mean is None:
            raise ConvertError(
                f"{name} normalises by the batch it sees (track_running_stats=False), which a "
                "stream that steps alone does not have."
            )
        return "batch_norm", {"epsilon": module.eps, "features": module.num_features}
    if isinstance(module, nn.LayerNorm):
        if len(module.normalized_shape) != 1:
            raise ConvertError(
                f"{name}: expected a normalisation over the features only, got the shape "
                f"{tuple(module.normalized_shape)}."
            )
        return "layer_norm", {"epsilon": module.eps, "features": module.normalized_shape[0]}
    if isinstance(module, nn.Embedding):
        if module.max_norm is not None:
            raise ConvertError(f"{name}: max_norm changes the weights while it runs.")
        return "embedding", {}
    return None, {}


def _recurrent_options(module: nn.Module, name: str, kind: str) -> dict[str, Any]:
    if getattr(module, "bidirectional", False):
        raise ConvertError(
            f"{name} is bidirectional: its second half reads the series from its end, which a live "
            "stream does not have."
        )
    options: dict[str, Any] = {"kind": kind}
    if kind == "rnn":
        options["activation"] = module.nonlinearity
    return options


def check_dimensions(parts: Sequence[Part]) -> None:
    """Refuse a softmax that is not, or may not be, over the features."""
    recurrent = any(part.kind == "recurrent" for part in parts)
    for part in parts:
        dim = part.options.get("dim", -1)
        if dim == -1 or dim == (2 if recurrent else 1) or (dim is None and not recurrent):
            continue
        if dim in (None, 1):
            raise ConvertError(
                f"{part.name} has dim={dim}, which in a network with a recurrent layer may be the "
                "time or the features: use dim=-1, the features."
            )
        raise ConvertError(
            f"{part.name} is over dimension {dim}{', the batch' if dim == 0 else ''}: use dim=-1, "
            "the features."
        )


def _softplus(module: nn.Softplus, name: str) -> Steps:
    if module.threshold < 15:  # above it PyTorch returns x itself, which differs by exp(-threshold)
        raise ConvertError(f"{name}: expected a threshold of 15 or more, got {module.threshold}.")
    return (module.beta, 0.0), "softplus", (1 / module.beta, 0.0)


def _threshold(module: nn.Threshold, name: str) -> Steps:
    if module.value != 0:
        raise ConvertError(f"{name}: expected the value 0 below the threshold, got {module.value}.")
    return (name_activation("thresholded_relu", module.threshold),)


def _prelu(module: nn.PReLU, name: str) -> Steps:
    if module.num_parameters != 1:
        raise ConvertError(
            f"{name}: expected one slope for all values, got {module.num_parameters}."
        )
    return (name_activation("leaky_relu", float(module.weight.detach())),)


def _named(name: str) -> Callable[[Any, str], Steps]:
    return lambda _module, _name: (name,)


# ReLU6 is a Hardtanh with its bounds set.
_ACTIVATIONS: dict[type[nn.Module], Callable[[Any, str], Steps]] = {
    nn.ReLU: _named("relu"),
    nn.Tanh: _named("tanh"),
    nn.Sigmoid: _named("sigmoid"),
    nn.SiLU: _named("silu"),
    nn.Hardswish: _named("hard_silu"),
    nn.Mish: _named("mish"),
    nn.SELU: _named("selu"),
    nn.Softsign: _named("softsign"),
    nn.Hardsigmoid: _named(name_activation("hard_sigmoid", 1 / 6, 0.5)),
    nn.Hardtanh: lambda m, _: (name_activation("hard_tanh", m.min_val, m.max_val),),
    nn.LeakyReLU: lambda m, _: (name_activation("leaky_relu", m.negative_slope),),
    nn.ELU: lambda m, _: (name_activation("elu", m.alpha),),
    nn.CELU: lambda m, _: ((1 / m.alpha, 0.0), "elu", (m.alpha, 0.0)),
    nn.GELU: lambda m, _: ("gelu" if m.approximate == "none" else "gelu_tanh",),
    nn.LogSigmoid: lambda _m, _: ((-1.0, 0.0), "softplus", (-1.0, 0.0)),
    nn.Softplus: _softplus,
    nn.Threshold: _threshold,
    nn.PReLU: _prelu,
    nn.Softmax: _named("softmax"),
    nn.LogSoftmax: _named("log_softmax"),
    nn.Softmin: lambda _m, _: ((-1.0, 0.0), "softmax"),
}
