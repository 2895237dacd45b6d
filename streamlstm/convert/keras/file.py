"""Reading of Keras files without Keras: the configuration, and the arrays by their path.

There are two kinds. A ``.keras`` file is a zip of ``config.json``, ``metadata.json`` and
``model.weights.h5``, in which arrays are numbered within a path that follows the objects of the
network (``layers/lstm/cell/vars/0``). A legacy ``.h5`` file has the configuration in an attribute,
and the arrays of each layer by their names in a group with the name of the layer.
"""

import io
import json
import re
import zipfile
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ConvertError
from ..common.files import first_bytes, is_hdf5, is_zip
from ..common.frameworks import require

Array = NDArray[Any]
Config = dict[str, Any]
ROOTS = ("layers", "_layer_checkpoint_dependencies")  # the second of early versions
# Of attributes and groups that Keras writes into a legacy file.
_OWN = ("keras_version", "backend", "model_", "training_", "optimizer", "layer_names", "weight_")
_WHOLE = "Save the whole network with model.save('model.keras') and bring that file."


@dataclass(frozen=True)
class KerasFile:
    """Content of a Keras file.

    Attributes
    ----------
    name : str
        Name of the file, for messages.
    version : str
        Version of Keras that wrote it; empty if unknown.
    config : dict
        ``class_name`` and ``config`` of the network.
    arrays : dict of str to array
        By their path in the file.
    groups : dict of str to list of str, or None
        Names of the arrays of each layer, in order, in a legacy file; None in a ``.keras`` file.
    beside : dict
        What else stands in a legacy file, by name: not written by Keras.
    """

    name: str
    version: str
    config: Config
    arrays: dict[str, Array]
    groups: dict[str, list[str]] | None
    beside: dict[str, Any] = field(default_factory=dict)

    @property
    def major(self) -> int:
        """Major version of Keras; 2 if unknown."""
        match = re.match(r"\d+", self.version)
        return int(match[0]) if match else 2

    @property
    def root(self) -> str:
        """First part of the paths of the layers' arrays in a ``.keras`` file."""
        found = {path.split("/")[0] for path in self.arrays}
        return next((root for root in ROOTS if root in found), ROOTS[0])


def read_keras(path: str | PathLike[str]) -> KerasFile:
    """Read a ``.keras`` or ``.h5`` file, whatever its name.

    Raises
    ------
    ConvertError
        If it is damaged, or has no network.
    """
    h5py = require("h5py", "read files of Keras")
    start = first_bytes(path)
    name = fspath(path)
    try:
        if is_zip(start):
            return _read_zip(h5py, name)
        if is_hdf5(start):
            return _read_legacy(h5py, name)
    except ConvertError:
        raise
    except Exception as error:  # many types of zipfile and HDF5, depending on the damage
        raise ConvertError(f"{name}: the file is damaged: {error}.") from None
    raise ConvertError(f"{name}: expected a .keras or .h5 file of Keras; its content is neither.")


def _read_zip(h5py: Any, name: str) -> KerasFile:
    with zipfile.ZipFile(name) as archive:
        members = set(archive.namelist())
        if "config.json" not in members:
            raise ConvertError(
                f"{name}: expected a .keras file, found a zip archive of another kind."
            )
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
        return KerasFile(name, _text(version), config, arrays, groups, _beside(h5py, file))


def _beside(h5py: Any, file: Any) -> dict[str, Any]:
    """Return attributes and arrays that somebody added to the file of a network."""
    found = {key: value for key, value in file.attrs.items() if not key.startswith(_OWN)}

    def visit(place: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and not place.startswith(_OWN):
            found[place] = item[()]

    if "model_weights" in file:
        file.visititems(visit)
    return found


def _has_weights(file: Any) -> bool:
    marks = ("layers", "_layer_checkpoint_dependencies", "model_weights")
    return "layer_names" in file.attrs or any(mark in file for mark in marks)


def _arrays(h5py: Any, root: Any, name: str) -> dict[str, Array]:
    """Read all arrays; visititems never follows links to other files."""
    found: dict[str, Array] = {}

    def visit(place: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset) or place.startswith("optimizer"):
            return
        if item.external or item.is_virtual:
            raise ConvertError(f"{name}: {place} is in another file, which is not read.")
        found[place] = _to_numbers(item[()], f"{name}: {place}")

    root.visititems(visit)
    return found


def _to_numbers(values: Any, where: str) -> Array:
    """Return an array of numbers; bfloat16 is stored as two opaque bytes."""
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
    """Return a list of names; a long one is split over the attributes key0, key1, ..."""
    if key in attrs:
        return [_text(value) for value in attrs[key]]
    chunks: list[list[str]] = []
    while f"{key}{len(chunks)}" in attrs:
        chunks.append([_text(value) for value in attrs[f"{key}{len(chunks)}"]])
    return [value for chunk in chunks for value in chunk]


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
