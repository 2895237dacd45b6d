"""Chains of layers beside each other, whose outputs are merged: a network that forks and joins."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import Field, dataclass
from itertools import pairwise
from typing import Any, ClassVar, TypeVar

from ...errors import ModelError, shown
from .base import MAX_SIZE, Layer, Shapes
from .embedding import Embedding

Branch = tuple[Layer, ...]
MAX_DEPTH = 64  # of forks within forks
_T = TypeVar("_T")


@dataclass(frozen=True)
class Parallel(Layer, kind="parallel"):
    """Branches, each a chain of layers, that take the same input, and whose outputs are merged.

    ``y = merge(branch_0(x), branch_1(x), ...)``: a residual connection is
    ``Parallel(N, [[], [layer, ...]])``, of which the first branch is the input itself.

    Parameters
    ----------
    input_size : int
        N, width of what comes in.
    branches : sequence of sequences of Layer
        Two or more. One without layers is the identity.
    merge : {"add", "multiply", "concatenate"}
        The sum, the product, or one behind the other. A branch of one row goes to every row of
        the others; of a sum or a product one of width 1 to every value of theirs.

    Notes
    -----
    Parameters are those of the layers: ``1.0.weight`` is the weight of the first layer of the
    second branch.

    References
    ----------
    K. He et al., "Deep Residual Learning for Image Recognition", 2015.
    """

    branches: Sequence[Sequence[Layer]]
    merge: str = "add"
    choices: ClassVar[dict[str, tuple[str, ...]]] = {"merge": ("add", "multiply", "concatenate")}

    def __post_init__(self) -> None:
        object.__setattr__(self, "branches", _as_branches(self.branches))
        super().__post_init__()
        if len(self.branches) < 2:
            raise ModelError(f"Parallel: expected two or more branches, got {len(self.branches)}.")
        for n, branch in enumerate(self.branches):
            _check_branch(n, branch, self.input_size)
        if self.depth > MAX_DEPTH:
            raise ModelError(f"Parallel: expected forks within forks up to {MAX_DEPTH} deep.")
        widths, widest = self.widths, max(self.widths)
        if self.merge != "concatenate" and {*widths} - {1, widest}:
            raise ModelError(
                f"Parallel: expected branches of one width, or of 1, to {self.merge} them, got "
                f"{', '.join(map(str, widths))}."
            )
        if self.output_size > MAX_SIZE:
            raise ModelError(f"Parallel: expected below 2**31 values, got {self.output_size}.")

    def _check(self, field: Field[Any]) -> None:
        if field.name != "branches":
            super()._check(field)

    @property
    def widths(self) -> list[int]:
        """Width of the output of each branch."""
        return [branch[-1].output_size if branch else self.input_size for branch in self.branches]

    @property
    def output_size(self) -> int:
        """Width of the output."""
        return sum(self.widths) if self.merge == "concatenate" else max(self.widths)

    @property
    def depth(self) -> int:
        """How many forks are within each other, this one counted."""
        return 1 + max([0, *(x.depth for _, x in self.inner if isinstance(x, Parallel))])

    @property
    def inner(self) -> Iterator[tuple[str, Layer]]:
        """Each layer of the branches, and what its parameters and states are called by."""
        for b, branch in enumerate(self.branches):
            for n, layer in enumerate(branch):
                yield f"{b}.{n}.", layer

    @property
    def over_rows(self) -> bool:  # type: ignore[override]
        """Whether an output depends on other rows of a window than the states tell."""
        return any(layer.over_rows for _, layer in self.inner)

    @property
    def can_step(self) -> bool:
        """Whether it can run row by row, without a window."""
        return all(layer.can_step for _, layer in self.inner)

    @property
    def file_version(self) -> int:
        """The first version of the model file that has the layer."""
        return 6

    @property
    def state(self) -> dict[str, int]:
        """Name and width of each state vector, in the order of the state row."""
        return {f"{at}{name}": n for at, x in self.inner for name, n in x.state.items()}

    @property
    def window_state(self) -> dict[str, int]:
        """Those that are kept over a window."""
        return {f"{at}{name}": n for at, x in self.inner for name, n in x.window_state.items()}

    @property
    def hidden(self) -> str:
        """Name of the last hidden state, empty if there is none."""
        names = [f"{at}{layer.hidden}" for at, layer in self.inner if layer.hidden]
        return names[-1] if names else ""

    def initial_of(self, state: str) -> str:
        """Return the name of the parameter with the initial state of a state vector, if any."""
        layers = dict(self.inner)
        at = ".".join(state.split(".")[:2]) + "."
        return at + layers[at].initial_of(state.removeprefix(at))

    def rows_of(self, rows: int) -> int:
        """Return how many rows the layer makes of so many; 0 if branches do not fit together."""
        made = []
        for branch in self.branches:
            n = rows
            for layer in branch:
                n = layer.rows_of(n) if n else 0
            made.append(n)
        most = max(made)
        return most if {*made} <= {1, most} else 0

    def parameters(self) -> Shapes:
        """Return name and shape of each parameter."""
        return {f"{at}{name}": n for at, x in self.inner for name, n in x.parameters().items()}

    def to_dict(self) -> dict[str, Any]:
        """Return the specification as plain values for JSON, the kind first."""
        branches = [[layer.to_dict() for layer in branch] for branch in self.branches]
        return super().to_dict() | {"branches": branches}

    def describe(self) -> str:
        """Return the layer as Python code, without options that have their default value."""
        branches = (", ".join(x.describe() for x in branch) for branch in self.branches)
        merge = "" if self.merge == "add" else f", merge={self.merge!r}"
        listed = ", ".join(f"[{branch}]" for branch in branches)
        return f"Parallel({self.input_size}, [{listed}]{merge})"


def own_part(at: str, arrays: Mapping[str, _T]) -> dict[str, _T]:
    """Return what belongs to the layer called ``at`` (:attr:`Parallel.inner`), by its own names."""
    return {name.removeprefix(at): a for name, a in arrays.items() if name.startswith(at)}


def _as_branches(branches: Any) -> tuple[Branch, ...]:
    """Return branches as tuples; layers of a file are dicts."""
    if not isinstance(branches, Sequence) or not all(isinstance(b, Sequence) for b in branches):
        raise ModelError(f"Parallel: expected branches, lists of layers, got {shown(branches)}.")
    return tuple(
        tuple(Layer.from_dict(layer) if isinstance(layer, dict) else layer for layer in branch)
        for branch in branches
    )


def _check_branch(n: int, branch: Sequence[Layer], width: int) -> None:
    """Check that each layer takes what the one before it returns."""
    for layer in branch:
        if not isinstance(layer, Layer):
            raise ModelError(f"Parallel: branch {n}: expected layers, got {shown(layer)}.")
        if isinstance(layer, Embedding):
            raise ModelError(f"Parallel: branch {n}: an embedding is the first layer of a model.")
    if branch and branch[0].input_size != width:
        raise ModelError(
            f"Parallel: branch {n} takes {branch[0].input_size} values, expected {width}."
        )
    for before, layer in pairwise(branch):
        if before.output_size != layer.input_size:
            raise ModelError(
                f"Parallel: branch {n}: {layer.kind} takes {layer.input_size} values, but "
                f"{before.kind} returns {before.output_size}."
            )
