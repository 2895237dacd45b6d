"""Convolution over rows."""

from dataclasses import dataclass

from .base import Layer, Shapes


@dataclass(frozen=True)
class Conv1D(Layer, kind="conv1d"):
    """A convolution over rows: of a window, or, if it is causal, of a stream from its first on.

    ``y[t] = activation(bias + sum_j weight[:, j] @ x[t s + j d - pad_left])``, where rows that are
    not there are zeros.

    Parameters
    ----------
    input_size : int
        F, width of what comes in.
    output_size : int
        O, width of what goes out: filters.
    kernel_size : int
        k, rows of the input that an output sees.
    stride : int
        s, rows of the input from one output to the next.
    dilation : int
        d, rows from one that an output sees to the next.
    pad_left, pad_right : int
        Rows of zeros before the first and behind the last row. ``pad_left = (k - 1) d`` is a causal
        convolution: no output sees a later row.
    activation : str
        As for :class:`Dense`.

    Notes
    -----
    Parameters are ``weight[O, k, F]`` and ``bias[O]``: the layout of PyTorch, ``[O, F, k]``, with
    the last two axes exchanged. One of kernel 1 without padding and stride is :class:`Dense`.
    """

    output_size: int
    kernel_size: int
    stride: int = 1
    dilation: int = 1
    pad_left: int = 0
    pad_right: int = 0
    activation: str = "linear"
    allows_softmax = True
    over_rows = True
    may_be_zero = ("pad_left", "pad_right")

    @property
    def reach(self) -> int:
        """Rows from the first that an output sees to the last: (k - 1) d + 1."""
        return (self.kernel_size - 1) * self.dilation + 1

    @property
    def is_causal(self) -> bool:
        """Whether it can be stepped: no output sees a later row, and each row makes one."""
        return self.stride == 1 and not self.pad_right and self.pad_left == self.reach - 1

    @property
    def can_step(self) -> bool:
        """Whether the layer can run row by row, without a window."""
        return self.is_causal

    @property
    def window_state(self) -> dict[str, int]:
        """None: of a window it sees all rows."""
        return {}

    @property
    def state(self) -> dict[str, int]:
        """Name and width of each state vector: the last inputs, a ring, and the oldest's place."""
        if not self.is_causal or self.kernel_size == 1:
            return {}
        return {"ring": self.pad_left * self.input_size, "place": 1}

    def rows_of(self, rows: int) -> int:
        """Return how many rows the layer makes of so many; 0 if these are too few."""
        return max((rows + self.pad_left + self.pad_right - self.reach) // self.stride + 1, 0)

    def parameters(self) -> Shapes:
        """Return name and shape of each parameter."""
        shape = (self.output_size, self.kernel_size, self.input_size)
        return {"weight": shape, "bias": (self.output_size,)}
