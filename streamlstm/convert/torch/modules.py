"""Reading of modules: containers recursively, layers and activations by their class."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from ...errors import ConvertError
from ...network.activations import WITHOUT_PARAMETERS, name_activation
from ..labels.layers import Affine, TorchLayer, make_weights
from .reasons import reason
from .state_dict import INITIAL_C, INITIAL_H, assign_initial_state

Steps = Sequence[str | Affine]

_NO_EFFECT = (
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


def layers_of_module(module: nn.Module) -> list[TorchLayer]:
    """Return the layers of a module, in the order in which they are registered.

    Raises
    ------
    ConvertError
        If a layer is not supported.
    """
    layers: list[TorchLayer] = []
    _collect(module, "", layers)
    if not layers:
        raise ConvertError(f"{type(module).__name__} has no layers.")
    for layer in layers:
        if layer.options.get("both"):
            raise ConvertError(
                f"{layer.name} is bidirectional: its second half reads the series from its end, "
                "which only a window has: give the number of rows (window=T), and a module that "
                "can be called with one tensor, whose forward says which rows its head takes."
            )
    return layers


def _collect(module: nn.Module, name: str, layers: list[TorchLayer]) -> None:
    layer = read_module(module, name or type(module).__name__)
    if layer is not None:
        layers.append(layer)
        return
    if isinstance(module, _NO_EFFECT):
        return
    _check_container(module, name or type(module).__name__)
    first = len(layers)
    # Not named_children: it omits an activation that is registered a second time.
    for child_name, child in module._modules.items():
        if child is not None:
            _collect(child, f"{name}.{child_name}" if name else child_name, layers)
    _read_own_parameters(module, name, layers[first:])


def _check_container(module: nn.Module, name: str) -> None:
    """Refuse a module that is neither a layer nor a container of layers."""
    kind = type(module)
    builtin = kind.__module__.startswith("torch.") and not isinstance(module, _CONTAINERS)
    scripted = isinstance(module, torch.jit.ScriptModule)
    if kind.__module__.startswith("torchmetrics."):
        return
    if not scripted and (kind.__name__ == "OptimizedModule" or "parallel" in kind.__module__):
        return
    if builtin or not module._modules or scripted:
        why = reason(f"{kind.__name__} {kind.__module__}")
        raise ConvertError(
            f"{name} ({kind.__name__}) cannot be converted: {why}. If it only selects or "
            "reshapes values, give a torch.nn.Sequential of the other layers."
        )


def _read_own_parameters(module: nn.Module, name: str, inside: list[TorchLayer]) -> None:
    """Read a container's own parameters as a trained initial state, or refuse them."""
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
        assign_initial_state(name, initial, inside)


def read_module(module: nn.Module, name: str) -> TorchLayer | None:
    """Return the layer that a module is; None if it is a container or does nothing."""
    kind, options = _layer(module, name)
    if kind is not None:
        return TorchLayer(name, kind, make_weights(name, _tensors(module)), options)
    for class_, steps in _ACTIVATIONS.items():
        if isinstance(module, class_):
            options = {"dim": module.dim} if isinstance(module, _SOFTMAX) else {}
            return TorchLayer(
                name, "function", make_weights(name, {}), options, steps(module, name)
            )
    return None


def _tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return a layer's weights, including those that parametrizations and hooks compute."""
    tensors = {**dict(module._parameters), **dict(module._buffers)}
    for key in getattr(module, "parametrizations", {}):
        tensors[key] = getattr(module, key)
    for hook in module._forward_pre_hooks.values():
        _compute(module, hook, tensors)
    return {key: tensor for key, tensor in tensors.items() if tensor is not None}


def _compute(module: nn.Module, hook: Any, tensors: dict[str, Any]) -> None:
    """Replace the parameters of weight_norm, spectral_norm or pruning by the weight they give."""
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
            return "recurrent", _recurrent_options(module, kind)
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
                f"{name} (LayerNorm) normalises over several axes at once, "
                f"{tuple(module.normalized_shape)}, those of a window: say of how many rows "
                "(window=T)."
            )
        return "layer_norm", {"epsilon": module.eps, "features": module.normalized_shape[0]}
    if isinstance(module, nn.Embedding):
        if module.max_norm is not None:
            raise ConvertError(f"{name}: max_norm changes the weights while it runs.")
        return "embedding", {}
    return None, {}


def _recurrent_options(module: nn.Module, kind: str) -> dict[str, Any]:
    options: dict[str, Any] = {"kind": kind}
    if getattr(module, "bidirectional", False):
        options["both"] = "rows"
    if kind == "rnn":
        options["activation"] = module.nonlinearity
    return options


def check_dimensions(layers: Sequence[TorchLayer]) -> None:
    """Refuse a softmax that is not, or may not be, over the features."""
    recurrent = any(layer.kind == "recurrent" for layer in layers)
    for layer in layers:
        dim = layer.options.get("dim", -1)
        if dim == -1 or dim == (2 if recurrent else 1) or (dim is None and not recurrent):
            continue
        if dim in (None, 1):
            raise ConvertError(
                f"{layer.name} has dim={dim}, which in a network with a recurrent layer may be the "
                "time or the features: use dim=-1, the features."
            )
        raise ConvertError(
            f"{layer.name} is over dimension {dim}{', the batch' if dim == 0 else ''}: use dim=-1, "
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
            f"{name} has {module.num_parameters} slopes, and a layer here has one for all values, "
            "as nn.PReLU()."
        )
    return (name_activation("leaky_relu", float(module.weight.detach())),)


def _named(name: str) -> Callable[[Any, str], Steps]:
    return lambda _module, _name: (name,)


def _same_names() -> dict[type[nn.Module], Callable[[Any, str], Steps]]:
    """Return PyTorch's activations that are called as here, up to capitals."""
    classes = {name.lower(): getattr(nn, name) for name in nn.modules.activation.__all__}
    return {classes[name]: _named(name) for name in WITHOUT_PARAMETERS if name in classes}


# ReLU6 is a Hardtanh with its bounds set.
_ACTIVATIONS: dict[type[nn.Module], Callable[[Any, str], Steps]] = {
    **_same_names(),
    nn.Hardswish: _named("hard_silu"),
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
