"""Files of Keras, opened without Keras: what the network is, and its arrays by their place.

There are two kinds. A ``.keras`` file is a zip of ``config.json``, ``metadata.json`` and
``model.weights.h5``, in which arrays are numbered within a path that follows the objects of the
network (``layers/lstm/cell/vars/0``). A legacy ``.h5`` file has the configuration in an attribute
and the arrays of each layer, with their names, in a group called as the layer is.
"""

import io
import json
import re
import zipfile
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ConvertError
from ..common.sniff import first_bytes
from ..common.weights import require

Array = NDArray[Any]
Config = dict[str, Any]
_WHOLE = "Save the whole network with model.save('model.keras') and bring that file."


@dataclass(frozen=True)
class KerasFile:
    """What a file of Keras holds.

    Attributes
    ----------
    name : str
        Of the file, for messages.
    version : str
        Of the Keras that wrote it; empty if it does not say.
    config : dict
        ``class_name`` and ``config`` of the network.
    arrays : dict of str to array
        By their place in the file.
    groups : dict of str to list of str, or None
        In a legacy file the names of each layer's arrays, in order; None in a ``.keras`` file.
    """

    name: str
    version: str
    config: Config
    arrays: dict[str, Array]
    groups: dict[str, list[str]] | None

    @property
    def major(self) -> int:
        """The first number of the version; 2 if it does not say."""
        match = re.match(r"\d+", self.version)
        return int(match[0]) if match else 2


def read_keras(path: str | PathLike[str]) -> KerasFile:
    """Open a ``.keras`` or ``.h5`` file, whatever it is called.

    Raises
    ------
    ConvertError
        If it is damaged, or holds no network.
    """
    h5py = require("h5py", "read files of Keras", "streamlstm[keras]")
    name = fspath(path)
    start = first_bytes(name)[:8]
    try:
        if start[:4] == b"PK\x03\x04":
            return _read_zip(h5py, name)
        if start == b"\x89HDF\r\n\x1a\n":
            return _read_legacy(h5py, name)
    except ConvertError:
        raise
    except Exception as error:  # zipfile's and HDF5's own, by the place that is broken
        raise ConvertError(f"{name}: the file is damaged: {error}.") from None
    raise ConvertError(f"{name}: expected a .keras or .h5 file of Keras; its content is neither.")


def _read_zip(h5py: Any, name: str) -> KerasFile:
    with zipfile.ZipFile(name) as archive:
        members = set(archive.namelist())
        if "config.json" not in members:
            raise ConvertError(f"{name}: expected a .keras file, found a zip of other things.")
        if "model.weights.h5" not in members:
            raise ConvertError(f"{name}: lacks model.weights.h5, the weights. {_WHOLE}")
        config = _parse(name, archive.read("config.json"))
        metadata = archive.read("metadata.json") if "metadata.json" in members else b"{}"
        version = str(_parse(name, metadata).get("keras_version", ""))
        weights = archive.read("model.weights.h5")
    with h5py.File(io.BytesIO(weights), "r") as file:
        return KerasFile(name, version, config, _arrays(h5py, file, name), None)


def _read_legacy(h5py: Any, name: str) -> KerasFile:
    with h5py.File(name, "r") as file:
        if "model_config" not in file.attrs:
            what = "weights without layers" if _has_weights(file) else "no network of Keras"
            raise ConvertError(f"{name}: holds {what}. {_WHOLE}")
        config = _parse(name, file.attrs["model_config"])
        weights = file.get("model_weights", file)
        version = weights.attrs.get("keras_version", file.attrs.get("keras_version", ""))
        groups = {}
        for layer in _names(weights.attrs, "layer_names"):
            if layer not in weights:
                raise ConvertError(f"{name}: layer {layer!r} lacks its weights.")
            groups[layer] = _names(weights[layer].attrs, "weight_names")
        arrays = _arrays(h5py, weights, name)
        return KerasFile(name, _text(version), config, arrays, groups)


def _has_weights(file: Any) -> bool:
    marks = ("layers", "_layer_checkpoint_dependencies", "model_weights")
    return "layer_names" in file.attrs or any(mark in file for mark in marks)


def _arrays(h5py: Any, root: Any, name: str) -> dict[str, Array]:
    """Read every array; links out of the file are never followed, as visiting leaves them out."""
    found: dict[str, Array] = {}

    def visit(place: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset) or place.startswith("optimizer"):
            return
        if item.external or item.is_virtual:
            raise ConvertError(f"{name}: {place} stands in another file, which is not read.")
        found[place] = _number(item[()], f"{name}: {place}")

    root.visititems(visit)
    return found


def _number(values: Any, where: str) -> Array:
    """Return an array; bfloat16 is stored as two bytes that HDF5 has no type for."""
    array = np.asarray(values)
    if array.dtype.kind == "V" and array.dtype.itemsize == 2:
        halves = np.frombuffer(array.tobytes(), np.uint16).astype(np.uint32)
        return (halves << 16).view(np.float32).reshape(array.shape)
    if array.dtype.kind not in "fiub":
        raise ConvertError(
            f"{where}: expected float16, bfloat16, float32 or float64, got {array.dtype}."
        )
    return array


def _parse(name: str, text: Any) -> Config:
    try:
        value = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise ConvertError(f"{name}: its configuration is no JSON: {error}.") from None
    if not isinstance(value, dict):
        raise ConvertError(f"{name}: expected its configuration to be a map.")
    return value


def _names(attrs: Any, key: str) -> list[str]:
    """Return a list of names; one too long for an attribute is split into key0, key1, ..."""
    if key in attrs:
        return [_text(value) for value in attrs[key]]
    chunks: list[list[str]] = []
    while f"{key}{len(chunks)}" in attrs:
        chunks.append([_text(value) for value in attrs[f"{key}{len(chunks)}"]])
    return [value for chunk in chunks for value in chunk]


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
