"""Branches in a program: for each fork a table, and behind it what stands for its layers.

kernels/parallel.py reads them. All offsets are relative, so a chain of layers with its tables may
stand anywhere.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from ..kernels import layout
from ..network.layers import Layer, Parallel
from ..network.layers.parallel import own_part
from .packing import Weights

Place = dict[str, slice]
Part = tuple[Layer, Weights, Place]
Program = NDArray[np.int64]
Write = Callable[[Sequence[Part], int], list[Program]]
"""Returns what stands for each layer of a chain in so many forks."""


def depth(layers: Sequence[Layer]) -> int:
    """Return how many forks are within each other."""
    return max((layer.depth for layer in layers if isinstance(layer, Parallel)), default=0)


def with_inner(layers: Sequence[Layer]) -> list[Layer]:
    """Return all layers, those of branches as well."""
    found: list[Layer] = []
    for layer in layers:
        found.append(layer)
        if isinstance(layer, Parallel):
            found += with_inner([inner for _, inner in layer.inner])
    return found


def chain(parts: Sequence[Part], level: int, write: Write, row_at: int) -> Program:
    """Return what stands for each layer of a chain, and the tables of its forks behind it.

    Parameters
    ----------
    parts : sequence of Layer, weights and place in a state row
    level : int
        In how many forks the chain is.
    write : callable
    row_at : int
        Where the row of a layer begins in what ``write`` returns for it.
    """
    if not parts:
        return np.zeros(0, np.int64)
    entries = write(parts, level)
    tables = [fork_table(part, level, write, row_at) for part in parts]
    starts = list(accumulate(map(len, entries), initial=0))
    rows = [entry[row_at:] for entry in entries]
    place_tables(rows, tables, [start + row_at for start in starts], starts[-1])
    return np.concatenate([*entries, *tables])


def place_tables(
    rows: Sequence[Program], tables: Sequence[Program], starts: Sequence[int], at: int
) -> None:
    """Say in the rows of forks, which begin at ``starts``, where their tables are: from ``at``."""
    for row, table, start in zip(rows, tables, starts, strict=False):
        if len(table):
            row[layout.BRANCH_TABLE] = at - start
        at += len(table)


def fork_table(part: Part, level: int, write: Write, row_at: int) -> Program:
    """Return the table of a fork and the chains of its branches; empty for any other layer."""
    layer, weights, place = part
    if not isinstance(layer, Parallel):
        return np.zeros(0, np.int64)
    lines = np.zeros((len(layer.branches), layout.BRANCH_LINE), np.int64)
    chains: list[Program] = []
    end = lines.size
    for b, (line, branch) in enumerate(zip(lines, layer.branches, strict=True)):
        parts = [
            (inner, own_part(f"{b}.{n}.", weights), own_part(f"{b}.{n}.", place))
            for n, inner in enumerate(branch)
        ]
        program = chain(parts, level + 1, write, row_at)
        line[layout.BRANCH_LAYERS] = len(branch)
        line[layout.BRANCH_START] = end
        line[layout.BRANCH_WIDTH] = layer.widths[b]
        chains.append(program)
        end += len(program)
    return np.concatenate([lines.ravel(), *chains])
