"""Mean, maximum or sum over rows."""

from dataclasses import dataclass
from typing import ClassVar

from ...errors import ModelError
from .base import Layer, Shapes


@dataclass(frozen=True)
class Pool(Layer, kind="pool"):
    """Mean, maximum or sum over neighbouring rows of a window: ``y[t] = f(x[t s : t s + k])``.

    Parameters
    ----------
    input_size : int
        N, width of what comes in and goes out.
    function : {"mean", "max", "sum"}
    size : int, optional
        k, rows that become one; all of the window if left out.
    stride : int, optional
        s, rows from one to the next; ``size`` if left out.
    pad_left, pad_right : int
        Rows of padding before the first and behind the last row, fewer than ``size``; they are no
        maximum.
    count_padding : bool
        A mean counts the padding, as zeros; otherwise it is over the rows that there are.
    """

    function: str = "mean"
    size: int | None = None
    stride: int | None = None
    pad_left: int = 0
    pad_right: int = 0
    count_padding: bool = False
    over_rows = True
    choices: ClassVar[dict[str, tuple[str, ...]]] = {"function": ("mean", "max", "sum")}
    may_be_zero = ("pad_left", "pad_right")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size is None and (self.stride or self.pad_left or self.pad_right):
            raise ModelError("Pool: expected a size beside stride or padding, got none.")
        if self.size is not None and max(self.pad_left, self.pad_right) >= self.size:
            raise ModelError(
                f"Pool: expected padding of fewer rows than size, {self.size}, got "
                f"{self.pad_left} and {self.pad_right}."
            )

    @property
    def output_size(self) -> int:
        """Width of the output."""
        return self.input_size

    @property
    def step(self) -> int:
        """Rows from one output to the next."""
        return self.stride or self.size or 1

    @property
    def file_version(self) -> int:
        """The first version of the model file that has the layer."""
        return 6 if self.function == "sum" else 5

    def rows_of(self, rows: int) -> int:
        """Return how many rows the layer makes of so many; 0 if these are too few."""
        if self.size is None:
            return min(rows, 1)
        return max((rows + self.pad_left + self.pad_right - self.size) // self.step + 1, 0)

    def parameters(self) -> Shapes:
        """Return name and shape of each parameter."""
        return {}
