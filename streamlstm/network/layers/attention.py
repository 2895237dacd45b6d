"""Attention over the rows of a window."""

from dataclasses import dataclass
from typing import ClassVar

from .base import Layer, Shapes


@dataclass(frozen=True)
class Attention(Layer, kind="attention"):
    """Dot-product attention of rows of a window over all of them.

    ``y = sum_t a[t] x[t]`` with ``a = softmax_t(scale q . x[t])``, where the query q is the last
    row, or each row in turn.

    Parameters
    ----------
    input_size : int
        N, width of a row.
    query : {"last", "each"}
        One row goes out, for the last one, or as many as come in.
    scale : float
        Of the scores: 1, or ``1 / sqrt(N)`` where it is called scaled.
    join : bool
        The query stands behind y in the output, whose width is then 2 N.

    References
    ----------
    M. Luong et al., "Effective Approaches to Attention-based Neural Machine Translation", 2015.
    """

    query: str = "last"
    scale: float = 1.0
    join: bool = False
    over_rows = True
    choices: ClassVar[dict[str, tuple[str, ...]]] = {"query": ("last", "each")}

    @property
    def output_size(self) -> int:
        """Width of the output: N, or 2 N with the query."""
        return self.input_size * (2 if self.join else 1)

    def rows_of(self, rows: int) -> int:
        """Return how many rows go out."""
        return rows if self.query == "each" else min(rows, 1)

    def parameters(self) -> Shapes:
        """Return name and shape of each parameter."""
        return {}
