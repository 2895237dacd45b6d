"""What follows from the layers and the online stage of a model: sizes, counters, categories."""

import numpy as np
from numpy.typing import NDArray

from .arrays import Float32Array
from .layers import Embedding, Layer
from .online import Online
from .result_places import ResultPlaces, result_places


class ModelSizes:
    """The attributes of a :class:`streamlstm.Model`, and what is computed from them."""

    layers: tuple[Layer, ...]
    weights: tuple[dict[str, Float32Array], ...]
    inputs: tuple[str, ...]
    horizons: tuple[int, ...]
    online: Online | None
    targets: tuple[int, ...]
    skip_scale: Float32Array | None
    input_offsets: NDArray[np.float64] | None

    @property
    def horizon(self) -> int:
        """The longest of the horizons of the outputs, in steps."""
        return max(self.horizons)

    @property
    def input_size(self) -> int:
        """F, features of one observation; the network may have further inputs, from its time."""
        derived = 0 if self.online is None else self.online.derived
        return self.layers[0].input_size - derived

    @property
    def output_size(self) -> int:
        """O, outputs of one prediction."""
        return self.layers[-1].output_size

    @property
    def differences(self) -> tuple[int, ...]:
        """The D inputs that are counters, whose changes go into the network."""
        return () if self.online is None else self.online.difference

    @property
    def counters(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self.inputs[n] for n in self.differences)

    @property
    def large_inputs(self) -> list[str]:
        """Names of the inputs of which float32 loses too much: with an offset, and counters."""
        offsets = np.zeros(self.input_size) if self.input_offsets is None else self.input_offsets
        numbered = enumerate(zip(self.inputs, offsets, strict=True))
        return [name for n, (name, offset) in numbered if offset or n in self.differences]

    @property
    def has_levels(self) -> bool:
        """Whether an output forecasts the change of a counter, and is answered as a value."""
        return any(target in self.differences for target in self.targets)

    @property
    def labelled(self) -> list[int]:
        """The outputs that forecast no input, of a model that takes labels from outside."""
        pairs = enumerate(zip(self.targets, self.horizons, strict=True))
        takes = self.online is not None and self.online.labels > 0
        return [n for n, (target, horizon) in pairs if takes and (target < 0 or horizon == 0)]

    @property
    def observation_size(self) -> int:
        """F + D, floats of one observation: counters have two (network.differences)."""
        return self.input_size + len(self.differences)

    @property
    def result_places(self) -> ResultPlaces:
        """Where what the online stage says stands in a result."""
        levels = 0 if self.online is None else len(self.online.intervals)
        return result_places(self.output_size, levels, self.has_levels)

    @property
    def result_size(self) -> int:
        """W, numbers in a result: the outputs, and what the online stage says (network.online)."""
        if self.online is None:
            return self.output_size
        return self.result_places.size

    @property
    def categories(self) -> int:
        """Number of categories of the first input; 0 if that input is numeric."""
        first = self.layers[0]
        return first.categories if isinstance(first, Embedding) else 0

    @property
    def skip_factors(self) -> Float32Array:
        """Factor of the input that ``skip`` adds to each output: float32[O]."""
        return np.ones(self.output_size, np.float32) if self.skip_scale is None else self.skip_scale
