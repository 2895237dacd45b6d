"""What a model consists of, as plain values and arrays: what its file and fingerprint hold."""

import hashlib
import json
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import Float32Array
from .model_sizes import ModelSizes
from .scaling import Scaling


class ModelContents(ModelSizes):
    """Everything that makes a :class:`streamlstm.Model` the one that it is."""

    outputs: tuple[str, ...]
    input_scaling: Scaling
    output_scaling: Scaling
    skip: tuple[int, ...] | None
    output_offsets: NDArray[np.float64] | None
    lags: tuple[int, ...]
    lag_weights: Float32Array | None
    window: int | None
    start: str

    @cached_property  # the arrays are read-only; hashing them takes a millisecond for each 2 MB
    def fingerprint(self) -> str:
        """32 hexadecimal digits that change with anything that changes a result or a name."""
        digest = hashlib.sha256(json.dumps(self.specification(), sort_keys=True).encode())
        for name, array in sorted(self.arrays().items()):
            digest.update(name.encode() + b"\0" + array.tobytes())
        return digest.hexdigest()[:32]

    def specification(self) -> dict[str, Any]:
        """Return everything but the arrays and the metadata, as plain values for JSON."""
        specification = {
            "layers": [layer.to_dict() for layer in self.layers],
            "inputs": list(self.inputs),
            "outputs": list(self.outputs),
            "skip": None if self.skip is None else list(self.skip),
            "horizon": self.horizon if len(set(self.horizons)) == 1 else list(self.horizons),
        }
        if self.online is not None:
            specification["online"] = self.online.to_dict()
        if self.lags:
            specification["lags"] = list(self.lags)
        if self.window is not None:
            specification["window"] = self.window
            specification["start"] = self.start
        return specification

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return every array by its name in a model file."""
        arrays: dict[str, NDArray[Any]] = {
            f"layers.{n}.{name}": array
            for n, weights in enumerate(self.weights)
            for name, array in weights.items()
        }
        for side in ("input", "output"):
            scaling: Scaling = getattr(self, f"{side}_scaling")
            arrays[f"{side}_scaling.mean"] = scaling.mean
            arrays[f"{side}_scaling.scale"] = scaling.scale
        if self.skip_scale is not None:
            arrays["skip_scale"] = self.skip_scale
        for name in ("input_offsets", "output_offsets"):
            offsets = getattr(self, name)
            if offsets is not None and offsets.any():
                arrays[name] = offsets
        if self.lag_weights is not None:
            arrays["lag_weights"] = self.lag_weights
        return arrays
