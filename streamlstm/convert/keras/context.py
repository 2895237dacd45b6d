"""State of one conversion: the model so far, the weights not yet taken, the axis of time."""

from collections.abc import Callable
from copy import copy

from ...errors import ConvertError
from ..common.builder import ModelBuilder
from .activations import read_activation
from .concatenate import ANNOTATION, EmbeddingConcat
from .config import input_shape
from .file import KerasFile
from .inputs import InputPart
from .network import KerasLayer, Network
from .weights import FileWeights

# Layers without effect outside of training.
TRAINING_ONLY = (
    "Dropout",
    "SpatialDropout1D",
    "GaussianNoise",
    "GaussianDropout",
    "AlphaDropout",
    "ActivityRegularization",
    "Identity",
)

# Layers over the rows of a window.
CONVOLUTIONS = ("Conv1D", "Convolution1D", "SeparableConv1D", "DepthwiseConv1D")
POOLING = ("MaxPooling1D", "AveragePooling1D", "MaxPool1D", "AvgPool1D")
GLOBAL_POOLING = (
    *("GlobalAveragePooling1D", "GlobalMaxPooling1D"),
    *("GlobalAvgPool1D", "GlobalMaxPool1D"),
)


class Context:
    """The state that the handlers of layers read and change.

    Parameters
    ----------
    file : KerasFile
    network : Network
    window : int, optional
        Length of the sequence, where the file leaves it open.

    Attributes
    ----------
    builder : ModelBuilder
    weights : FileWeights
    major : int
        Version of Keras that wrote the file.
    concat : EmbeddingConcat or None
        The network's concatenation of an embedding and numbers.
    time : int or None
        Length of the sequence; None if it is open, 0 after its last step was selected.
    rows : int or None
        Length of the input sequence; None if it is open, or there is none.
    ended : bool
        Whether a layer has reduced a sequence to its last step, of which no layer here knows.
    carried : int or None
        How many rows that sequence has, which are still there; None if that is open.
    final : KerasLayer
        The last layer.
    decoded : bool
        Whether a second sequence has begun at the end of the first, of which all rows are answered.
    padding : tuple of int and int
        Rows of zeros before and behind the sequence, which the next layer gets.
    part : InputPart or None
        The input that came in last, where there are several.
    columns : list of int or None
        Which columns of an observation come in, as they are; None behind a layer that changes them.
    categories : dict of int to int
        Columns of an observation that are categories, and how many of these there are.
    embeds : bool
        Whether the input is a category, which an embedding takes first.
    numbers : KerasLayer or None
        What has made numbers of rows, without an axis for features, [batch, rows]: to an embedding
        they are rows, to all other layers features.
    add : callable
        Appends a layer, ``add(context, layer)``.
    """

    def __init__(
        self,
        file: KerasFile,
        network: Network,
        add: "Callable[[Context, KerasLayer], None]",
        window: int | None = None,
    ) -> None:
        self.add = add
        self.weights = FileWeights(file, network.all_layers)
        self.major = file.major
        shape = _input_shape(file, network)
        working = [layer.kind for layer in network.layers if _has_effect(layer)]
        embeds = working[:1] == ["Embedding"]
        self.time: int | None = None
        self.ended, self.rows = False, None
        self.carried: int | None = None
        self.decoded = False
        self.padding = (0, 0)
        self.part: InputPart | None = None
        self.columns: list[int] | None = None
        self.categories: dict[int, int] = {}
        self.embeds = embeds
        self.numbers: KerasLayer | None = None
        self.final = network.layers[-1]
        concats = [
            layer.config[ANNOTATION] for layer in network.all_layers if ANNOTATION in layer.config
        ]
        self.concat: EmbeddingConcat | None = concats[0] if concats else None
        if shape is not None:
            rank = len(shape) + (embeds and not (self.concat and self.concat.sliced))
            self.time = shape[1] if rank == 3 else 0
            self.rows = self.time or None
            if self.time is None:
                self.time = window  # which the caller says
            if rank not in (2, 3):
                raise ConvertError(
                    f"expected input (batch, time, features), got {tuple(shape)}: a row of a "
                    "stream "
                    "is one vector. Compute the layers that work inside of a row in your own "
                    "program, and bring those behind them as a network of its own."
                )
        width = shape[-1] if shape else None
        self.builder = ModelBuilder(1 + self.count_of_numbers if embeds else width)
        self.columns = None if width is None else list(range(width))

    @property
    def count_of_numbers(self) -> int:
        """Count of numeric features beside the category."""
        return self.concat.numbers if self.concat else 0

    def activation(self, layer: KerasLayer, key: str = "activation", default: str = "tanh") -> str:
        """Return an activation of a layer."""
        return read_activation(layer.config.get(key, default), self.major, layer.where)

    def need_width(self, layer: KerasLayer) -> int:
        """Return how many features come into a layer."""
        return self.builder.need_width(layer.where)

    def branch(self) -> "Context":
        """Return the context of a branch that parts here, with layers of its own."""
        inner = copy(self)
        inner.builder = self.builder.branch()
        return inner

    def end_sequence(self) -> None:
        """Reduce the sequence to its last step: a stream needs no other from here on."""
        if self.time not in (0, 1):
            self.ended, self.carried = True, self.time
        self.time = 0

    def check_axis(self, layer: KerasLayer) -> None:
        """Check that a layer works over the features."""
        axis = layer.config.get("axis", -1)
        axes = list(axis) if isinstance(axis, list | tuple) else [axis]
        if axes not in ([-1], [1 if self.time == 0 else 2]):
            raise ConvertError(
                f"{layer.where}: expected axis -1, the features, got {axis}: it counts the rows of "
                "a window too, and no layer here normalises these."
            )


def units(layer: KerasLayer) -> int:
    """Return the number of units of a layer."""
    found = layer.config.get("units")
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise ConvertError(f"{layer.where}: expected units of 1 or more, got {found!r}.")
    return found


def _has_effect(layer: KerasLayer) -> bool:
    return layer.kind not in ("InputLayer", "Masking", *TRAINING_ONLY)


def _input_shape(file: KerasFile, network: Network) -> list[int | None] | None:
    """Return the shape of the input, batch axis included, if the file has it."""
    for layer in network.layers[:2]:
        shape = input_shape(layer.config)
        if shape is not None:
            return shape
    config = file.config.get("config")
    built = config.get("build_input_shape") if isinstance(config, dict) else None
    valid = isinstance(built, list) and all(s is None or isinstance(s, int) for s in built)
    return built if valid else None
