"""The layers of one file of Keras, turned into those of a model."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...errors import ConvertError
from ...network.layers import Dense, Embedding
from ...network.model import Model
from ..common.chain import Chain
from ..common.options import merged
from ..common.refusal import naming
from ..common.shared_layers import add_dense, add_prelu
from ..common.weights import Weights
from .activations import LAYERS as ACTIVATIONS
from .activations import read_activation, read_function, read_layer
from .cells import KERNELS, add_gru, add_lstm, add_rnn, from_cudnn
from .file import KerasFile
from .graph import Graph, Leaf
from .join import FOUND, Join
from .norms import (
    add_batch_normalization,
    add_layer_normalization,
    add_normalization,
    add_rescaling,
)
from .refused import reason
from .slices import input_shape, read_slice
from .weights import Store

TRAINING = (
    "Dropout",
    "SpatialDropout1D",
    "GaussianNoise",
    "GaussianDropout",
    "AlphaDropout",
    "ActivityRegularization",
    "Identity",
)
MASK = "steps that Keras would mask are not skipped here: leave them out of the stream."


class Reader:
    """Turns the layers of one file into those of a model, one after the other.

    Parameters
    ----------
    file : KerasFile
    graph : Graph
    """

    def __init__(self, file: KerasFile, graph: Graph) -> None:
        if file.version and file.major < 2:
            raise ConvertError(
                f"{file.name}: written by Keras {file.version}; load it in Keras 2 and save again."
            )
        self._file, self._graph = file, graph
        self.store = Store(file, graph.leaves)
        self._notes: list[str] = []
        shape = _first_shape(file, graph)
        embeds = next((leaf.kind == "Embedding" for leaf in graph.leaves if _works(leaf)), False)
        # Of the sequence: its length, None if that is open, 0 behind its last step.
        self._time: int | None = None
        self._ended = False
        joins = [leaf.config[FOUND] for leaf in graph.leaves if FOUND in leaf.config]
        self._join: Join | None = joins[0] if joins else None
        if shape is not None:
            rank = len(shape) + (embeds and not (self._join and self._join.sliced))
            self._time = shape[1] if rank == 3 else 0
            if rank not in (2, 3):
                raise ConvertError(
                    f"{file.name}: expected input (batch, time, features), got {tuple(shape)}."
                )
        numbers = self._join.numbers if self._join else 0
        self.chain = Chain(1 + numbers if embeds else shape[-1] if shape else None)

    def read(self, options: Mapping[str, Any]) -> Model:
        """Return the model; ``options`` are what :class:`streamlstm.Model` takes."""
        for leaf in self._graph.leaves:
            with naming(leaf.where):
                self._add(leaf)
        self.store.finish()
        metadata = {"notes": " ".join(self._notes)} if self._notes else {}
        source = f"Keras {self._file.version}".strip()
        return self.chain.build(source, **merged(options, metadata, skip=self._skip()))

    def _skip(self) -> list[int] | None:
        """Return for each output the input that is added to it."""
        columns, O = self._graph.skip, self.chain.width
        if columns is None or O is None:
            return None
        if len(columns) not in (1, O):
            raise ConvertError(
                f"{self._file.name}: the network ends by adding {len(columns)} inputs to {O} "
                "outputs; one to all or one to each can be added."
            )
        return columns * O if len(columns) == 1 else columns

    def _add(self, leaf: Leaf) -> None:
        kind, config = leaf.kind, leaf.config
        _check_policy(leaf)
        if kind in TRAINING:
            self.store.drop(leaf)
        elif kind in ACTIVATIONS:
            activation = read_layer(kind, config, self._file.major, leaf.where)
            self.chain.activate(activation, leaf.where)
        elif kind in _READERS:
            _READERS[kind](self, leaf)
        elif (function := read_function(kind, config)) is not None:
            self.chain.activate(function, leaf.where)
        else:
            raise ConvertError(f"{leaf.where} is refused: {reason(kind)}.")

    def _input(self, leaf: Leaf) -> None:
        """Pass over an input: its shape was read before."""

    def _activation(self, leaf: Leaf, key: str = "activation", default: str = "tanh") -> str:
        return read_activation(leaf.config.get(key, default), self._file.major, leaf.where)

    def _units(self, leaf: Leaf) -> int:
        units = leaf.config.get("units")
        if not isinstance(units, int) or isinstance(units, bool) or units < 1:
            raise ConvertError(f"{leaf.where}: expected units of 1 or more, got {units!r}.")
        return units

    def _names(self, leaf: Leaf, names: tuple[str, ...]) -> tuple[str, ...]:
        return names if leaf.config.get("use_bias", True) else names[:-1]

    def _recurrent(self, leaf: Leaf) -> Weights:
        """Take the arrays of a recurrent layer that can be stepped."""
        if leaf.config.get("go_backwards"):
            raise ConvertError(
                f"{leaf.where} is refused: go_backwards reads the sequence from its end."
            )
        if self._ended:
            raise ConvertError(
                f"{leaf.where} is refused: a second sequence starts at the end of the first."
            )
        if not leaf.config.get("return_sequences"):
            self._end()
        weights = self.store.take(leaf, self._names(leaf, KERNELS))
        if leaf.config.get("use_bias", True) and "bias" not in weights:
            weights.take("bias")  # says what is lacking
        return weights

    def _lstm(self, leaf: Leaf) -> None:
        gate = self._activation(leaf, "recurrent_activation", "sigmoid")
        weights, units = self._recurrent(leaf), self._units(leaf)
        add_lstm(self.chain, weights, gate, self._activation(leaf), units)

    def _gru(self, leaf: Leaf) -> None:
        gate = self._activation(leaf, "recurrent_activation", "sigmoid")
        # Before there was such an option, the reset gate came first.
        after = bool(leaf.config.get("reset_after", False))
        weights, units = self._recurrent(leaf), self._units(leaf)
        add_gru(self.chain, weights, gate, self._activation(leaf), units, after)

    def _simple_rnn(self, leaf: Leaf) -> None:
        weights, units = self._recurrent(leaf), self._units(leaf)
        add_rnn(self.chain, weights, self._activation(leaf), units)

    def _cudnn(self, leaf: Leaf) -> None:
        weights, units = self._recurrent(leaf), self._units(leaf)
        gates = 4 if leaf.kind == "CuDNNLSTM" else 3
        kernel = weights.take("kernel")
        recurrent = weights.take("recurrent_kernel", (units, gates * units))
        bias = weights.take("bias", (2 * gates * units,))
        weights.finish()
        if kernel.ndim != 2 or kernel.shape[1] != gates * units:
            raise ConvertError(
                f"{leaf.where}: expected kernel (F, {gates * units}), got {kernel.shape}."
            )
        turned = Weights(leaf.where, from_cudnn(kernel, recurrent, bias))
        if gates == 4:
            add_lstm(self.chain, turned, units=units)
        else:
            add_gru(self.chain, turned, units=units)

    def _dense(self, leaf: Leaf) -> None:
        weights = self.store.take(leaf, self._names(leaf, ("kernel", "bias")))
        if leaf.config.get("use_bias", True) and "bias" not in weights:
            weights.take("bias")
        activation = self._activation(leaf, default="linear")
        add_dense(self.chain, weights, activation, self._units(leaf))

    def _prelu(self, leaf: Leaf) -> None:
        weights = self.store.take(leaf, ("alpha",))
        alpha = weights.take("alpha")
        weights.finish()
        if alpha.size not in (1, alpha.shape[-1] if alpha.ndim else 1):
            raise ConvertError(
                f"{leaf.where}: has an alpha for every step, shape {alpha.shape}; expected "
                "shared_axes=[1]."
            )
        add_prelu(self.chain, alpha, leaf.where)

    def _embedding(self, leaf: Leaf) -> None:
        if self.chain.layers:
            raise ConvertError(f"{leaf.where} is refused: an embedding is the first layer.")
        weights = self.store.take(leaf, ("embeddings",))
        N, D = leaf.config.get("input_dim"), leaf.config.get("output_dim")
        if not isinstance(N, int) or not isinstance(D, int):
            raise ConvertError(f"{leaf.where}: expected input_dim and output_dim, got {N}, {D}.")
        table = weights.take("embeddings", (N, D))
        weights.finish()
        numbers = self._join.numbers if self._join else 0
        self.chain.add(Embedding(1 + numbers, N, D), {"weight": table}, leaf.where)
        if leaf.config.get("mask_zero"):
            self._notes.append(f"{leaf.where} masks category 0: {MASK}")

    def _concatenate(self, leaf: Leaf) -> None:
        """Put the numbers before the vector of the category, if the network has them there."""
        N, join = self.chain.width or 0, self._join
        if join is None:
            raise ConvertError(f"{leaf.where} is refused: {reason(leaf.kind)}.")
        if join.before:
            order = np.roll(np.eye(N), join.numbers, axis=0)
            self.chain.add(Dense(N, N), {"weight": order, "bias": np.zeros(N)}, leaf.where)

    def _masking(self, leaf: Leaf) -> None:
        value = leaf.config.get("mask_value", 0.0)
        self._notes.append(f"{leaf.where} masks steps of {value}: {MASK}")

    def _reshape(self, leaf: Leaf) -> None:
        """Let pass what turns one step into a vector or back: the numbers stay where they are."""
        target, width = leaf.config.get("target_shape"), self.chain.width
        one = self._time in (0, 1)
        time: int | None = 0
        if leaf.kind == "Flatten":
            fits = one
        else:
            sizes = list(target) if isinstance(target, list | tuple) else []
            one = self._time in (0, 1)
            fits = (
                bool(sizes)
                and sizes[-1] in (width, -1)
                and all(size in ((1, -1) if one else (self._time, -1)) for size in sizes[:-1])
            )
            fits = fits and len(sizes) <= 2 and (one or len(sizes) == 2)
            time = self._time if not one else len(sizes) - 1
        if not fits:
            raise ConvertError(
                f"{leaf.where} is refused: it mixes steps with features, and a stream has one step "
                "at a time."
            )
        self._time = time

    def _slice(self, leaf: Leaf) -> None:
        rank = 2 if self._time == 0 else 3
        taken = read_slice(leaf.calls, rank)
        if taken is None or taken not in (slice(None), slice(0, None), slice(None, None, 1)):
            raise ConvertError(
                f"{leaf.where} is refused: expected a slice that takes the last step, [:, -1, :]."
            )
        self._end()

    def _end(self) -> None:
        """Behind this the network looks at the last step only, which is all that a stream asks."""
        self._ended = self._ended or self._time not in (0, 1)
        self._time = 0

    def check_axis(self, leaf: Leaf) -> None:
        """Check that a layer works over the features."""
        axis = leaf.config.get("axis", -1)
        axes = list(axis) if isinstance(axis, list | tuple) else [axis]
        if axes not in ([-1], [1 if self._time == 0 else 2]):
            raise ConvertError(f"{leaf.where}: expected axis -1, the features, got {axis}.")


_READERS: dict[str, Callable[[Reader, Leaf], None]] = {
    "InputLayer": Reader._input,
    "LSTM": Reader._lstm,
    "GRU": Reader._gru,
    "SimpleRNN": Reader._simple_rnn,
    "CuDNNLSTM": Reader._cudnn,
    "CuDNNGRU": Reader._cudnn,
    "Dense": Reader._dense,
    "PReLU": Reader._prelu,
    "BatchNormalization": add_batch_normalization,
    "BatchNormalizationV1": add_batch_normalization,
    "SyncBatchNormalization": add_batch_normalization,
    "LayerNormalization": add_layer_normalization,
    "Embedding": Reader._embedding,
    "Concatenate": Reader._concatenate,
    "Masking": Reader._masking,
    "Rescaling": add_rescaling,
    "Normalization": add_normalization,
    "Flatten": Reader._reshape,
    "Reshape": Reader._reshape,
    "GetItem": Reader._slice,
    "SlicingOpLambda": Reader._slice,
}


def _works(leaf: Leaf) -> bool:
    return leaf.kind not in ("InputLayer", "Masking", *TRAINING)


def _check_policy(leaf: Leaf) -> None:
    """Refuse quantized layers; all other types of numbers are read as they are."""
    policy = leaf.config.get("dtype")
    name = policy
    if isinstance(policy, dict):
        config = policy.get("config", {})
        name = config.get("mode", config.get("name"))
    if isinstance(name, str) and name.startswith(("int8", "int4", "float8", "uint8", "gptq")):
        raise ConvertError(
            f"{leaf.where} is refused: it is quantized ({name}). Save the network before quantize."
        )


def _first_shape(file: KerasFile, graph: Graph) -> list[int | None] | None:
    """Return the shape of the input with the batch in front, if anything says it."""
    for leaf in graph.leaves[:2]:
        shape = input_shape(leaf.config)
        if shape is not None:
            return shape
    config = file.config.get("config")
    built = config.get("build_input_shape") if isinstance(config, dict) else None
    return built if isinstance(built, list) and all(_is_size(size) for size in built) else None


def _is_size(size: Any) -> bool:
    return size is None or isinstance(size, int)
