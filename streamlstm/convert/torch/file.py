"""Reading files of torch.save, safetensors and JSON, and the state dict in a checkpoint."""

import re
import zipfile
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ConvertError
from ..common.beside import parse_texts
from ..common.files import first_bytes, is_json_object, is_safetensors, read_json
from ..common.frameworks import first_line, require
from ..common.weights import to_float64

# Keys under which training frameworks store the state dict in their checkpoints.
_CHECKPOINT_KEYS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
# Keys of what trains a network, or stands beside it.
_OTHER = re.compile(r"optim|sched|scaler|\bema\b|loss|history|config|args|norm_stat", re.IGNORECASE)


def find_state_dict(source: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return the state dict inside a checkpoint, or the source itself if it has none."""
    for key in _CHECKPOINT_KEYS:
        inner = source.get(key)
        if isinstance(inner, Mapping) and inner:
            return find_state_dict(inner)
    if all(hasattr(value, "shape") for value in source.values()):
        return source
    parts = {
        str(key): inner
        for key, inner in source.items()
        if not _OTHER.search(str(key)) and isinstance(inner, Mapping) and _holds_tensors(inner)
    }
    if len(parts) > 1 and not any("." in str(key) for inner in parts.values() for key in inner):
        return {f"{part}.{key}": t for part, inner in parts.items() for key, t in inner.items()}
    inside = {key: inner for key, inner in source.items() if _is_state(inner)}
    if len(inside) > 1:
        inside = {k: inner for k, inner in inside.items() if not _OTHER.search(str(k))}
    if len(inside) > 1:
        raise ConvertError(
            f"the checkpoint holds several state dicts, {', '.join(map(str, inside))}: load it and "
            "give the one that you mean."
        )
    return next(iter(inside.values()), source)


def _is_state(value: Any) -> bool:
    """Return whether a value in a checkpoint is a state dict: names with a dot, and tensors."""
    return (
        isinstance(value, Mapping)
        and any("." in str(key) for key in value)
        and _holds_tensors(value)
    )


def _holds_tensors(value: Mapping[Any, Any]) -> bool:
    return bool(value) and all(hasattr(tensor, "shape") for tensor in value.values())


def read_torch(path: Path) -> Any:
    """Read a file of torch.save, safetensors or JSON; nothing in it is executed.

    Raises
    ------
    ConvertError
        If it cannot be read, or only by executing code from it.
    """
    start = first_bytes(path) if path.is_file() else b""
    if is_safetensors(start):
        return _load_safetensors(path)
    if is_json_object(start):
        return {key: to_float64(lists, key) for key, lists in read_json(path).items()}
    with _allow_plain_values():
        return _load(path)


def _load_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt" if find_spec("torch") else "np") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
            texts = {key: text for key, text in (file.metadata() or {}).items() if key != "format"}
    except (SafetensorError, OSError, TypeError) as error:
        raise ConvertError(f"{path}: cannot be read as safetensors: {error}.") from None
    return {"state_dict": tensors, "metadata": parse_texts(texts)} if texts else tensors


@contextmanager
def _allow_plain_values() -> Iterator[None]:
    """Allow torch.load to read the plain data that checkpoints hold beside tensors.

    These are NumPy's numbers and arrays (mostly a loss) and argparse's options: reading them runs
    no code.
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
    if is_torch_script(path):
        return _load_script(torch, path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types, depending on where the file is broken
        raise ConvertError(
            f"{path}: expected a state dict written by torch.save(module.state_dict(), path); "
            f"{_unreadable(error)}"
        ) from None


def is_torch_script(path: Path) -> bool:
    """Return whether a file holds TorchScript."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in f"/{member}" for member in archive.namelist())


def _load_script(torch: Any, path: Path) -> Any:
    """Load TorchScript, which runs in PyTorch's interpreter and has no access to Python."""
    try:
        return torch.jit.load(path, map_location="cpu")
    except Exception as error:  # of any type, depending on where the file is broken
        raise ConvertError(
            f"{path}: cannot be loaded as TorchScript: {first_line(error)}"
        ) from None


def _unreadable(error: Exception) -> str:
    """Return why PyTorch does not load a file; its own message is a page long, with colours."""
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    if named:
        return (
            f"this file holds {named[1]}, and reading that would run its code, which is never "
            "done. Load it yourself and save its state dict, or give from_torch the module. A "
            "scaler in it goes into input_scaling= and output_scaling=."
        )
    if str(error).startswith("Weights only load failed"):
        return "this file is damaged, of another kind, or holds more than tensors and plain values."
    return f"this file is damaged, or of another kind. PyTorch says: {first_line(error)}"
