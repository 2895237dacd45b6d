"""Two recurrent layers, one of which runs from the last row to the first."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ...errors import ModelError, shown
from .base import Layer, Shapes
from .gru import GRU
from .lstm import LSTM
from .rnn import RNN


@dataclass(frozen=True)
class Bidirectional(Layer, kind="bidirectional"):
    """A recurrent layer over a window, and a second one from the last row to the first.

    ``y[t] = merge(forward[t], backward[t])``, where ``backward[t]`` has seen the rows from the last
    to t.

    Parameters
    ----------
    input_size : int
        F.
    layer : LSTM, GRU or RNN
        Sizes and options of both.
    merge : {"concat", "sum", "mul", "ave"}
        How the outputs are joined: one behind the other, their sum, product or mean.
    sequence : bool
        All rows go out; otherwise one: the last of both, and that of the layer that runs backwards
        stands at the first row.

    Notes
    -----
    Parameters are those of the layer, twice: ``forward_weight_ih``, ..., ``backward_weight_ih``.

    References
    ----------
    M. Schuster, K. Paliwal, "Bidirectional Recurrent Neural Networks", 1997.
    """

    layer: Layer
    merge: str = "concat"
    sequence: bool = True
    over_rows = True
    choices: ClassVar[dict[str, tuple[str, ...]]] = {"merge": ("concat", "sum", "mul", "ave")}

    def __post_init__(self) -> None:
        if isinstance(self.layer, dict):  # of a file
            object.__setattr__(self, "layer", Layer.from_dict(self.layer))
        if not isinstance(self.layer, LSTM | GRU | RNN):
            raise ModelError(
                f"Bidirectional: expected an LSTM, a GRU or an RNN, got {shown(self.layer)}."
            )
        super().__post_init__()
        if self.input_size != self.layer.input_size:
            raise ModelError(
                f"Bidirectional: expected a layer that takes {self.input_size} values, got one "
                f"of {self.layer.input_size}."
            )

    @property
    def output_size(self) -> int:
        """Width of the output: twice that of the layer where outputs are concatenated."""
        return self.layer.output_size * (2 if self.merge == "concat" else 1)

    @property
    def state(self) -> dict[str, int]:
        """Name and width of each state vector, those of the forward layer first."""
        states = self.layer.state
        return states | {f"backward_{name}": width for name, width in states.items()}

    def initial_of(self, state: str) -> str:
        """Return the name of the parameter with the initial state of a state vector, if any."""
        direction = "backward" if state.startswith("backward_") else "forward"
        return f"{direction}_initial_{state.removeprefix('backward_')}"

    def rows_of(self, rows: int) -> int:
        """Return how many rows go out."""
        return rows if self.sequence else min(rows, 1)

    def parameters(self) -> Shapes:
        """Return name and shape of each parameter."""
        shapes = self.layer.parameters()
        return {
            f"{direction}_{name}": shape
            for direction in ("forward", "backward")
            for name, shape in shapes.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the specification as plain values for JSON, the kind first."""
        return super().to_dict() | {"layer": self.layer.to_dict()}

    def describe(self) -> str:
        """Return the layer as Python code, without options that have their default value."""
        return super().describe().replace(repr(self.layer), self.layer.describe())
