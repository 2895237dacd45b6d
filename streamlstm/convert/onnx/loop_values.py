"""What stands in the body of a loop beside vectors: counters, rows, tensors outside."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Counter:
    """The number of a step, or a state that counts, plus something; None for what is not known."""

    source: str = ""
    more: int | None = None


@dataclass(frozen=True)
class Outside:
    """A tensor of the outer graph that is no constant: the series."""

    name: str


@dataclass(frozen=True)
class Row:
    """The row of the series that belongs to the step; its width shows where it is used."""

    name: str


def counted(before: Any, more: int | None) -> Counter:
    """Return a counter plus a number."""
    known = before.more is not None and more is not None
    return Counter(before.source, before.more + more if known else None)


def number(value: Any) -> int | None:
    """Return a constant whole number, None for anything else."""
    known = isinstance(value, np.ndarray) and value.size == 1
    return int(value.reshape(-1)[0]) if known else None
