"""Networks of PyTorch: a module, its state dict, or a file that holds the state dict."""

import re
from collections.abc import Iterable, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from ..errors import ConvertError
from ..model import Model
from .check import first_line, require
from .torch_parts import InitialState, Part, assemble

Source = Any  # torch.nn.Module, a state dict, or a path: torch itself is imported by nobody here

# Where training frameworks keep the state dict in their checkpoints.
_CHECKPOINT_KEYS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")


def from_torch(
    source: Source,
    *,
    activations: Mapping[str, str] | None = None,
    initial_state: Iterable[InitialState] | None = None,
    rnn_activation: str = "tanh",
    epsilon: float = 1e-5,
    **options: Any,
) -> Model:
    """Take over a network of PyTorch.

    The children of the module are applied in the order in which they are registered, containers
    inside containers likewise: ``nn.LSTM`` (layers, ``proj_size``, no bias), ``nn.GRU``,
    ``nn.RNN``, their cells, ``Linear``, ``BatchNorm1d``, ``LayerNorm``, ``Embedding`` as the
    first, activations. Dropout, losses, ``Identity`` and ``Flatten`` change nothing here. What
    ``forward`` does beyond that PyTorch does not tell: name functional activations in
    ``activations``, and compare once with the original.

    Parameters
    ----------
    source : torch.nn.Module, mapping of str to tensor or array, or path
        A path is that of a file in which torch.save put a state dict; it is read without
        executing anything from it (``weights_only=True``).
    activations : mapping of str to str, optional
        Activations that ``forward`` applies by functions, by the name of the layer they follow:
        ``{"fc1": "relu"}``.
    initial_state : iterable, optional
        For every recurrent module in turn what PyTorch takes as ``hx``: ``(h0, c0)`` for an LSTM,
        ``h0`` for the others, None for zeros. Parameters called h0 and c0 beside the only
        recurrent module are found without it.
    rnn_activation : str
        That of ``nn.RNN``, "tanh" or "relu"; only a state dict leaves it open.
    epsilon : float
        That of BatchNorm1d and LayerNorm; only a state dict leaves it open.
    **options
        ``inputs``, ``outputs``, ``input_scaling``, ``output_scaling``, ``skip``, ``skip_scale``,
        ``horizon`` (0, no forecast, if left out) and ``metadata``, as :class:`streamlstm.Model`
        takes them.

    Returns
    -------
    Model

    Raises
    ------
    ConvertError
        If a layer cannot be stepped or is not known, or a weight is missing, left over or of
        another shape; the message names the layer and the shapes.
    """
    if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not 0 <= epsilon < 1:
        raise ConvertError(f"epsilon: expected a number from 0 to below 1, got {epsilon!r}.")
    if isinstance(source, str | PathLike):
        source = _load(Path(fspath(source)))
    parts = _parts(source, rnn_activation, epsilon)
    chain = assemble(parts, dict(activations or {}), list(initial_state or ()))
    return chain.build("PyTorch", **options)


def _parts(source: Source, rnn_activation: str, epsilon: float) -> list[Part]:
    if isinstance(source, Mapping):
        from .torch_state import parts_of_state

        return parts_of_state(_unwrap(source), rnn_activation, epsilon)
    if not hasattr(source, "named_modules"):
        raise ConvertError(
            "from_torch: expected a torch.nn.Module, its state dict or the path of a saved state "
            f"dict, got {type(source).__name__}."
        )
    from .torch_modules import parts_of_module

    return parts_of_module(source)


def _unwrap(source: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return the state dict inside a checkpoint, or what was given if it is none."""
    for key in _CHECKPOINT_KEYS:
        inner = source.get(key)
        if isinstance(inner, Mapping) and inner:
            return inner
    return source


def _load(path: Path) -> Any:
    """Read a file of torch.save without executing anything from it."""
    if not path.is_file():
        raise ConvertError(f"{path}: there is no such file.")
    torch = require("torch", "read a file of torch.save")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the broken place in the file leads to
        raise ConvertError(
            f"{path}: expected a state dict written by torch.save(module.state_dict(), path); "
            f"{_unreadable(error)}"
        ) from None


def _unreadable(error: Exception) -> str:
    """Say in our words why PyTorch does not load a file; its own are a page with colours."""
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    if named:
        return (
            f"this file holds {named[1]}, and reading that would run its code, which is never "
            "done. Load it yourself and save its state dict, or give from_torch the module."
        )
    if str(error).startswith("Weights only load failed"):
        return "this file is damaged, of another kind, or holds more than tensors and plain values."
    return f"this file is damaged, or of another kind. PyTorch says: {first_line(error)}"
