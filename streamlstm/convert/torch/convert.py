"""Networks of PyTorch: a module, its state dict, or a file that holds the state dict."""

import re
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ConvertError
from ...network.model import Model
from ..common.sniff import first_bytes, is_safetensors, read_json
from ..common.weights import first_line, require, to_float64
from .parts import InitialState, assemble

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
    first, activations. Dropout, losses, ``Identity`` and ``Flatten`` change nothing here. A copy
    of the module is then called with random numbers; if it answers otherwise, the order and the
    functions of its ``forward`` are taken instead, or it is refused. A module that cannot be
    called with one tensor, and a state dict, do not tell what ``forward`` does: name functional
    activations in ``activations``, and compare once with the original.

    Parameters
    ----------
    source : torch.nn.Module, mapping of str to tensor or array, or path
        A path is that of a file in which torch.save or safetensors put a state dict; it is read
        without executing anything from it (``weights_only=True``).
    activations : mapping of str to str, optional
        Activations that ``forward`` applies by functions, by the name of the layer they follow:
        ``{"fc1": "relu"}``.
    initial_state : iterable, optional
        For every recurrent module in turn what PyTorch takes as ``hx``: ``(h0, c0)`` for an LSTM,
        ``h0`` for the others, None for zeros; of an only one also without the list. Parameters
        called h0 and c0 beside the only recurrent module are found without it.
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
        source = read_torch(Path(fspath(source)))
    states = _states(initial_state)
    if isinstance(source, Mapping):
        from .state import parts_of_state

        parts = parts_of_state(unwrap(source), rnn_activation, epsilon)
        return assemble(parts, dict(activations or {}), states).build("PyTorch", **options)
    if not hasattr(source, "named_modules") or isinstance(source, type):
        raise ConvertError(
            "from_torch: expected a torch.nn.Module, its state dict or the path of a saved state "
            f"dict, got {type(source).__name__}."
        )
    from .trial import Residual, chain_of_module

    given = Residual(options.get("skip"), options.get("skip_scale"))
    chain, found = chain_of_module(source, activations or {}, states, given)
    if given.skip is None and found.skip is not None:
        options |= {"skip": found.skip, "skip_scale": found.scale}
    return chain.build("PyTorch", **options)


def _states(given: Any) -> list[InitialState]:
    """Return an initial state for each recurrent module; bare ones are that of the only one."""
    if given is None:
        return []
    if hasattr(given, "shape"):
        return [given]
    states = list(given)
    if isinstance(given, tuple) and len(states) == 2 and all(hasattr(s, "shape") for s in states):
        return [given]
    return states


def unwrap(source: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return the state dict inside a checkpoint, or what was given if it is none."""
    for key in _CHECKPOINT_KEYS:
        inner = source.get(key)
        if isinstance(inner, Mapping) and inner:
            return unwrap(inner)
    if all(hasattr(value, "shape") for value in source.values()):
        return source
    inside = {key: inner for key, inner in source.items() if _is_state(inner)}
    if len(inside) > 1:
        raise ConvertError(
            f"the checkpoint holds several state dicts, {', '.join(map(str, inside))}: load it and "
            "give the one that you mean."
        )
    return next(iter(inside.values()), source)


def _is_state(value: Any) -> bool:
    """Say whether a value in a checkpoint is a state dict: names with a dot, and tensors."""
    return (
        isinstance(value, Mapping)
        and any("." in str(key) for key in value)
        and all(hasattr(tensor, "shape") for tensor in value.values())
    )


def read_torch(path: Path) -> Any:
    """Return what a file of torch.save, safetensors or JSON holds; nothing of it is executed.

    Raises
    ------
    ConvertError
        If it cannot be read, or only by executing code from it.
    """
    start = first_bytes(path) if path.is_file() else b""
    if is_safetensors(start):
        return _load_safetensors(path)
    if start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{":
        return {key: to_float64(lists, key) for key, lists in read_json(path).items()}
    with _plain_values():
        return _load(path)


def _load_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt" if find_spec("torch") else "np") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, TypeError) as error:
        raise ConvertError(f"{path}: cannot be read as safetensors: {error}.") from None


@contextmanager
def _plain_values() -> Iterator[None]:
    """Let torch.load read what checkpoints hold beside tensors and is data only.

    NumPy's numbers and arrays (a loss, most often) and argparse's options have no code that
    reading them would run.
    """
    serialization: Any = import_module("torch.serialization") if find_spec("torch") else None
    if not hasattr(serialization, "safe_globals"):  # came with PyTorch 2.5
        yield
        return
    number = np.float64(0).__reduce__()[0]
    rebuild = np.zeros(0).__reduce__()[0]
    kinds = {type(np.dtype(code)) for code in "?bhilqBHILQefdSU"}
    with serialization.safe_globals([number, rebuild, np.ndarray, np.dtype, *kinds, Namespace]):
        yield


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
