"""Concatenate()([Embedding(category), numbers]): the only branch that can be converted.

The result is stored in the configuration of the Concatenate layer, under ``ANNOTATION``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .config import input_shape, layer_name, read_index, read_slice
from .file import Config

ANNOTATION = "streamlstm"
SLICES = ("GetItem", "SlicingOpLambda")
Path = list[Config]


@dataclass(frozen=True)
class EmbeddingConcat:
    """Concatenation of an embedding and numeric features.

    Attributes
    ----------
    numbers : int
        Count of numeric features; in an observation they follow the category.
    numbers_first : bool
        Whether the network puts them before the vector of the category.
    sliced : bool
        Whether category and numbers are slices of one input.
    """

    numbers: int
    numbers_first: bool
    sliced: bool


def read_concatenate(
    layer: Config, sources: Sequence[str], path_to: Callable[[str], Path | None]
) -> tuple[Path, str] | None:
    """Return the path to a Concatenate through its embedding, and the input of the numbers.

    Parameters
    ----------
    layer : dict
    sources : sequence of str
        The layers that it concatenates.
    path_to : callable
        Returns the path to a layer by its name; None if there is no single one.

    Returns
    -------
    tuple or None
        None if it concatenates anything else.
    """
    paths = [path_to(source) for source in sources]
    if len(paths) != 2 or layer["config"].get("axis", -1) not in (-1, 2):
        return None
    for numbers_first, (category, numbers) in enumerate((paths, paths[::-1])):
        if not category or not numbers or category[-1].get("class_name") != "Embedding":
            continue
        columns = sliced_columns(numbers)
        sliced = category[0] is numbers[0]
        first = _category_column(category[:-1])
        wanted = None if columns is None else list(range(sliced, len(columns) + sliced))
        if columns is None or columns != wanted or first != (0 if sliced else None):
            return None
        layer["config"][ANNOTATION] = EmbeddingConcat(len(columns), bool(numbers_first), sliced)
        return [category[0], category[-1]], layer_name(numbers[0])
    return None


def sliced_columns(path: Path) -> list[int] | None:
    """Return the input columns that a path of slices selects; None if it has other layers."""
    shape = input_shape(path[0]["config"])
    if not shape or not isinstance(shape[-1], int):
        return None
    columns = list(range(shape[-1]))
    for layer in path[1:]:
        if layer.get("class_name") not in SLICES:
            return None
        taken = read_slice(layer.get("inbound_nodes"), len(shape))
        if taken is None:
            return None
        columns = columns[taken]
    return columns


def _category_column(path: Path) -> int | None:
    """Return the column of the category: None if it is an input of its own, -1 if unknown."""
    if len(path) == 1:
        return None
    shape = input_shape(path[0]["config"])
    if len(path) != 2 or path[1].get("class_name") not in SLICES or not shape:
        return -1
    found = read_index(path[1].get("inbound_nodes"), len(shape))
    return -1 if found is None else found
