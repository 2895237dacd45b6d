"""Attention over the rows of a window."""

from dataclasses import dataclass
from typing import ClassVar

from ...errors import ModelError
from .base import Layer, Shapes


@dataclass(frozen=True)
class Attention(Layer, kind="attention"):
    """Dot-product attention of rows of a window over all of them, with one head or several.

    ``y = sum_t a[t] v[t]`` with ``a = softmax_t(scale q . k[t])``, where the query q is that of the
    last row, or of each row in turn. Keys k and values v are the rows themselves, and so is q;
    with a ``key_size`` each row holds the queries of all heads, then their keys, then their values.

    Parameters
    ----------
    input_size : int
        N, width of a row.
    query : {"last", "each"}
        One row goes out, for the last one, or as many as come in.
    scale : float
        Of the scores: 1, or ``1 / sqrt(K)`` where it is called scaled.
    join : bool
        The query stands behind y in the output.
    heads : int
        H, each with a query, key and value of its own; the outputs stand one behind the other.
    key_size : int, optional
        K, width of a query and of a key of one head; ``(N - 2 H K) / H`` is that of a value.
    causal : bool
        No row sees a later one.

    Notes
    -----
    Multi-head attention of a sequence to itself is a :class:`Dense` layer to queries, keys and
    values, this layer, and a :class:`Dense` layer behind it.

    References
    ----------
    M. Luong et al., "Effective Approaches to Attention-based Neural Machine Translation", 2015;
    A. Vaswani et al., "Attention Is All You Need", 2017.
    """

    query: str = "last"
    scale: float = 1.0
    join: bool = False
    heads: int = 1
    key_size: int | None = None
    causal: bool = False
    over_rows = True
    choices: ClassVar[dict[str, tuple[str, ...]]] = {"query": ("last", "each")}

    def __post_init__(self) -> None:
        super().__post_init__()
        values = self.input_size - 2 * self.heads * (self.key_size or 0)
        if self.key_size is None and self.heads != 1:
            raise ModelError("Attention: expected a key_size beside several heads, got none.")
        if values < self.heads or values % self.heads:
            raise ModelError(
                f"Attention: expected rows of queries and keys, {self.heads} times 2 times "
                f"{self.key_size}, and of {self.heads} values, got {self.input_size} numbers."
            )

    @property
    def queries(self) -> int:
        """Width of the queries of all heads."""
        return self.input_size if self.key_size is None else self.heads * self.key_size

    @property
    def values(self) -> int:
        """Width of the values of all heads."""
        return self.input_size if self.key_size is None else self.input_size - 2 * self.queries

    @property
    def output_size(self) -> int:
        """Width of the output: that of the values, and of the queries if they are joined."""
        return self.values + (self.queries if self.join else 0)

    @property
    def file_version(self) -> int:
        """The first version of the model file that has the layer."""
        return 5 if self.key_size is None and not self.causal else 6

    def rows_of(self, rows: int) -> int:
        """Return how many rows go out."""
        return rows if self.query == "each" else min(rows, 1)

    def parameters(self) -> Shapes:
        """Return name and shape of each parameter."""
        return {}
