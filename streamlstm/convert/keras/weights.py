"""Assigns the arrays of a file to its layers."""

from ...errors import ConvertError
from ..common.weights import Weights
from .file import ROOTS, Array, KerasFile
from .network import KerasLayer


class FileWeights:
    """The arrays of a file by layer; each must be taken by one of them.

    Parameters
    ----------
    file : KerasFile
    layers : list of KerasLayer
        All layers of the network, each once.
    """

    def __init__(self, file: KerasFile, layers: list[KerasLayer]) -> None:
        self._file = file
        self._taken: set[str] = set()
        self._arrays = {
            path: array
            for path, array in file.arrays.items()
            if "seed_generator" not in path.split("/") and _is_weight(file, path)
        }
        self._by_layer = {} if file.groups is None else _assign_arrays(file, layers)

    def take(self, layer: KerasLayer, names: tuple[str, ...]) -> Weights:
        """Take a layer's arrays; ``names`` are in the order of the file."""
        paths = self._paths(layer)
        arrays = [self._arrays[path] for path in paths]
        self._taken |= {*paths}
        named = dict(zip((*names, *_spare(len(arrays) - len(names))), arrays, strict=False))
        return Weights(layer.where, named)

    def take_biased(self, layer: KerasLayer, names: tuple[str, ...]) -> Weights:
        """Take a layer's arrays; the last of ``names`` is the bias, required if ``use_bias``."""
        if not layer.config.get("use_bias", True):
            return self.take(layer, names[:-1])
        weights = self.take(layer, names)
        weights.check(names[-1])
        return weights

    def arrays(self, layer: KerasLayer) -> list[Array]:
        """Return a layer's arrays in the order of the file, without taking them."""
        return [self._arrays[path] for path in self._paths(layer)]

    def drop(self, layer: KerasLayer) -> None:
        """Discard the arrays of a layer that has an effect in training only."""
        self._taken |= {*self._paths(layer)}

    def finish(self) -> None:
        """Raise ConvertError if an array belongs to no layer."""
        spare = {path: a for path, a in self._arrays.items() if path not in self._taken}
        if spare:
            listed = ", ".join(f"{path} {array.shape}" for path, array in spare.items())
            raise ConvertError(f"{self._file.name}: has weights that no layer takes: {listed}.")

    def _paths(self, layer: KerasLayer) -> list[str]:
        if self._file.groups is not None:
            return self._by_layer.get(layer.key, [])
        folders = [layer.path]
        if layer.kind == "MultiHeadAttention":
            parts = [f"{part}_dense" for part in ("query", "key", "value", "output")]
            folders = [f"{layer.path}/{mark}{part}" for part in parts for mark in ("", "_")]
        if layer.kind == "Bidirectional":
            folders = [f"{layer.path}/{way}_layer/cell" for way in ("forward", "backward")]
        return [
            path
            for folder in folders
            for path in sorted(
                (path for path in self._arrays if path.startswith(f"{folder}/vars/")),
                key=lambda path: (len(path), path),
            )
        ]


def _is_weight(file: KerasFile, path: str) -> bool:
    """Exclude the arrays of optimizer, metrics and loss."""
    return file.groups is not None or path.split("/")[0] in ROOTS


def _spare(count: int) -> tuple[str, ...]:
    return tuple(f"one more ({n})" for n in range(1, count + 1))


def _assign_arrays(file: KerasFile, layers: list[KerasLayer]) -> dict[tuple[str, ...], list[str]]:
    """Assign the arrays of each group of a legacy file to the layers in it, by their names."""
    assigned: dict[tuple[str, ...], list[str]] = {layer.key: [] for layer in layers}
    for group, names in (file.groups or {}).items():
        candidates = [layer for layer in layers if layer.group == group]
        for name in names:
            path = f"{group}/{name}"
            if path not in file.arrays:
                raise ConvertError(f"{file.name}: layer {group!r} lacks its weight {name!r}.")
            if group == "top_level_model_weights":
                continue
            assigned[_owner(file, group, name, candidates).key].append(path)
    return assigned


def _owner(file: KerasFile, group: str, name: str, candidates: list[KerasLayer]) -> KerasLayer:
    if len(candidates) == 1:
        return candidates[0]
    parts = name.split("/")[:-1]
    owners = [layer for layer in candidates if layer.name in parts]
    # The arrays of a layer in a TimeDistributed bear the name of that one.
    owners = owners or [layer for layer in candidates if {*layer.aliases[1:]} & {*parts}]
    if len(owners) != 1:
        shape = file.arrays[f"{group}/{name}"].shape
        raise ConvertError(
            f"layer {group!r} has a weight {name} {shape} that no layer in it takes."
        )
    return owners[0]
