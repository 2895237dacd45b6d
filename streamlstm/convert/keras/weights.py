"""Which arrays of a file belong to which layer."""

from ...errors import ConvertError
from ..common.weights import Weights
from .file import Array, KerasFile
from .graph import Leaf

ROOTS = ("layers", "_layer_checkpoint_dependencies")


class Store:
    """The arrays of a file, each of which some layer must take.

    Parameters
    ----------
    file : KerasFile
    leaves : sequence of Leaf
        All layers of the network.
    """

    def __init__(self, file: KerasFile, leaves: list[Leaf]) -> None:
        self._file = file
        self._left = {
            place: array
            for place, array in file.arrays.items()
            if "seed_generator" not in place.split("/") and _is_weight(file, place)
        }
        self._by_leaf = {} if file.groups is None else _share(file, leaves)

    def take(self, leaf: Leaf, names: tuple[str, ...]) -> Weights:
        """Return a layer's arrays under ``names``, which stand in the order of the file."""
        places = self._places(leaf)
        arrays = [self._left.pop(place) for place in places]
        named = dict(zip((*names, *_spare(len(arrays) - len(names))), arrays, strict=False))
        return Weights(leaf.where, named)

    def arrays(self, leaf: Leaf) -> list[Array]:
        """Return a layer's arrays in the order of the file, and leave them there."""
        return [self._left[place] for place in self._places(leaf)]

    def drop(self, leaf: Leaf) -> None:
        """Take a layer's arrays and forget them: it is one that only matters in training."""
        for place in self._places(leaf):
            del self._left[place]

    def finish(self) -> None:
        """Raise ConvertError if an array belongs to no layer."""
        if self._left:
            listed = ", ".join(f"{place} {array.shape}" for place, array in self._left.items())
            raise ConvertError(f"{self._file.name}: has weights that no layer takes: {listed}.")

    def _places(self, leaf: Leaf) -> list[str]:
        if self._file.groups is not None:
            return self._by_leaf.get(id(leaf), [])
        start = f"{leaf.path}/vars/"
        own = [place for place in self._left if place.startswith(start)]
        return sorted(own, key=lambda place: (len(place), place))


def _is_weight(file: KerasFile, place: str) -> bool:
    """Leave out what belongs to the optimizer, the metrics and the loss."""
    return file.groups is not None or place.split("/")[0] in ROOTS


def _spare(count: int) -> tuple[str, ...]:
    return tuple(f"one more ({n})" for n in range(1, count + 1))


def _share(file: KerasFile, leaves: list[Leaf]) -> dict[int, list[str]]:
    """Give the arrays of each group of a legacy file to the layers within it, by their names."""
    shared: dict[int, list[str]] = {id(leaf): [] for leaf in leaves}
    for group, names in (file.groups or {}).items():
        within = [leaf for leaf in leaves if leaf.group == group]
        for name in names:
            place = f"{group}/{name}"
            if place not in file.arrays:
                raise ConvertError(f"{file.name}: layer {group!r} lacks its weight {name!r}.")
            if group == "top_level_model_weights":
                continue
            shared[id(_owner(file, group, name, within))].append(place)
    return shared


def _owner(file: KerasFile, group: str, name: str, within: list[Leaf]) -> Leaf:
    if len(within) == 1:
        return within[0]
    parts = name.split("/")[:-1]
    owners = [leaf for leaf in within if leaf.name in parts]
    # A layer in a TimeDistributed goes by the name of that one.
    owners = owners or [leaf for leaf in within if {*leaf.aliases[1:]} & {*parts}]
    if len(owners) != 1:
        shape = file.arrays[f"{group}/{name}"].shape
        raise ConvertError(
            f"layer {group!r} has a weight {name} {shape} that no layer in it takes."
        )
    return owners[0]
