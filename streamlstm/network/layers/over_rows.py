"""Layers over the rows of a window without parameters: they rearrange rows, or take shares."""

from dataclasses import dataclass

from ...errors import ModelError
from .base import MAX_SIZE, Layer, Shapes


@dataclass(frozen=True)
class _Rearranged(Layer):
    """A layer without parameters, whose outputs are of the size of its inputs."""

    over_rows = True

    @property
    def output_size(self) -> int:
        """Width of the output."""
        return self.input_size

    def parameters(self) -> Shapes:
        """Return name and shape of each parameter."""
        return {}


@dataclass(frozen=True)
class Last(_Rearranged, kind="last"):
    """The last row alone. The outputs of a model are those of its last row anyway.

    Parameters
    ----------
    input_size : int
        N, width of what comes in and goes out.
    """

    def rows_of(self, rows: int) -> int:
        """Return 1."""
        return min(rows, 1)


@dataclass(frozen=True)
class Reverse(_Rearranged, kind="reverse"):
    """The rows of a window in reverse order: a recurrent layer between two runs backwards.

    Parameters
    ----------
    input_size : int
        N, width of what comes in and goes out.
    """


@dataclass(frozen=True)
class Repeat(_Rearranged, kind="repeat"):
    """The last row, so many times: what a decoder of several horizons at once starts from.

    Parameters
    ----------
    input_size : int
        N, width of what comes in and goes out.
    rows : int
        How many rows go out.
    """

    rows: int

    def rows_of(self, rows: int) -> int:
        """Return ``self.rows``."""
        return self.rows if rows else 0


@dataclass(frozen=True)
class Transpose(_Rearranged, kind="transpose"):
    """Rows and features exchanged: as many rows go out as features come in.

    Parameters
    ----------
    input_size : int
        N, width of a row, and how many rows go out.
    rows : int
        How many rows come in, and the width of those that go out.
    """

    rows: int

    @property
    def output_size(self) -> int:
        """Width of the output: rows."""
        return self.rows

    @property
    def file_version(self) -> int:
        """The first version of the model file that has the layer."""
        return 6

    def rows_of(self, rows: int) -> int:
        """Return N, if it gets as many rows as it takes."""
        return self.input_size if rows == self.rows else 0


@dataclass(frozen=True)
class SoftmaxOverRows(_Rearranged, kind="softmax_over_rows"):
    """Softmax of each feature over the rows of a window: the shares of additive attention.

    ``y[t] = exp(x[t]) / sum_s exp(x[s])``. Additive attention is this layer behind a
    ``Dense(N, 1, "tanh")``, multiplied with the rows (:class:`Parallel`) and summed over them
    (:class:`Pool`).

    Parameters
    ----------
    input_size : int
        N, width of what comes in and goes out.

    References
    ----------
    D. Bahdanau et al., "Neural Machine Translation by Jointly Learning to Align and Translate",
    2015.
    """

    @property
    def file_version(self) -> int:
        """The first version of the model file that has the layer."""
        return 6


@dataclass(frozen=True)
class Flatten(_Rearranged, kind="flatten"):
    """All rows one behind the other, as one row.

    Parameters
    ----------
    input_size : int
        N, width of a row.
    rows : int
        How many rows there are.
    by_feature : bool
        All rows of the first feature, then of the second, as PyTorch flattens what a convolution
        returns; otherwise all features of the first row, then of the second.
    """

    rows: int
    by_feature: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rows * self.input_size > MAX_SIZE:
            raise ModelError(f"Flatten: expected below 2**31 values, got {self.output_size}.")

    @property
    def output_size(self) -> int:
        """Width of the output: rows times N."""
        return self.rows * self.input_size

    def rows_of(self, rows: int) -> int:
        """Return 1, if it gets as many rows as it takes."""
        return 1 if rows == self.rows else 0
