"""An embedding joined with numbers: the one branch of a Keras graph that is a layer here.

What is found out about it is kept in the configuration of the Concatenate, under ``FOUND``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .file import Config
from .slices import input_shape, read_index, read_slice

FOUND = "streamlstm"
SLICES = ("GetItem", "SlicingOpLambda")
Way = list[Config]


@dataclass(frozen=True)
class Join:
    """An embedding beside numbers.

    Attributes
    ----------
    numbers : int
        How many there are; in an observation they stand behind the category.
    before : bool
        Whether the network joins them before the vector of the category.
    sliced : bool
        Whether both are taken out of one input.
    """

    numbers: int
    before: bool
    sliced: bool


def read_join(
    layer: Config, sources: Sequence[str], back: Callable[[str], Way | None]
) -> tuple[Way, str] | None:
    """Return the way to a Concatenate through its embedding, and the input of the numbers.

    Parameters
    ----------
    layer : dict
    sources : sequence of str
        The layers that it joins.
    back : callable
        From the name of a layer to the way to it; None if there is no single one.

    Returns
    -------
    tuple or None
        None if it joins something else.
    """
    ways = [back(source) for source in sources]
    if len(ways) != 2 or layer["config"].get("axis", -1) not in (-1, 2):
        return None
    for before, (category, numbers) in enumerate((ways, ways[::-1])):
        if not category or not numbers or category[-1].get("class_name") != "Embedding":
            continue
        columns = straight(numbers)
        sliced = category[0] is numbers[0]
        first = _category(category[:-1])
        wanted = None if columns is None else list(range(sliced, len(columns) + sliced))
        if columns is None or columns != wanted or first != (0 if sliced else None):
            return None
        layer["config"][FOUND] = Join(len(columns), bool(before), sliced)
        return [category[0], category[-1]], _name(numbers[0])
    return None


def straight(way: Way) -> list[int] | None:
    """Return which inputs come out of a way of slices; None if it has other layers."""
    shape = input_shape(way[0]["config"])
    if not shape or not isinstance(shape[-1], int):
        return None
    columns = list(range(shape[-1]))
    for layer in way[1:]:
        if layer.get("class_name") not in SLICES:
            return None
        taken = read_slice(layer.get("inbound_nodes"), len(shape))
        if taken is None:
            return None
        columns = columns[taken]
    return columns


def _category(way: Way) -> int | None:
    """Return which feature is the category: None if it is an input of its own, -1 if unknown."""
    if len(way) == 1:
        return None
    shape = input_shape(way[0]["config"])
    if len(way) != 2 or way[1].get("class_name") not in SLICES or not shape:
        return -1
    found = read_index(way[1].get("inbound_nodes"), len(shape))
    return -1 if found is None else found


def _name(layer: Config) -> str:
    return str(layer.get("name", layer["config"].get("name")))
