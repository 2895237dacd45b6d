"""What was found of a module, confirmed by its outputs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ...backends.plan import initial_row
from ...backends.reference import ReferenceBackend
from ...errors import ConvertError
from ...network.model import Model
from ..common.weights import Float64Array
from ..labels.chain import Output
from ..labels.layers import TorchLayer, assemble
from .forms import STEPS, Form, draw, quiet_copy

_SCALES = (1.0, 0.05, 20.0, 400.0)  # of the numbers on which both are compared
_TOLERANCE = 1e-4  # of the largest value: weights are float32 here
COMPARED = "its forward: what it calls, and its outputs in float64 for numbers of all sizes"


@dataclass
class Found:
    """What a module computes: its output number ``output`` in a form of call."""

    form: Form
    output: int
    chain: Output
    width: int
    categories: int
    dtype: torch.dtype
    window: int | None = None
    name: str = ""
    others: Sequence[str] = ()

    @property
    def _answers_one(self) -> bool:
        """Whether it returns numbers of the first of several series only."""
        own = STEPS if self.window is None else 1
        return self.form.streams > 1 and bool((self.chain.positions < own).all())

    @property
    def compared(self) -> str:
        """What was compared: the form of call, if it is not the usual one, and which output."""
        called = self.form.shape or ("[series, rows, features]" if self._answers_one else "")
        shape = f", called with {called}" if called else ""
        if self._answers_one:
            shape += ", of which it answers the first series only"
        if not self.others:
            return COMPARED + shape
        return (
            f"{COMPARED}{shape}; of what it returns only {self.name}, without "
            f"{', '.join(self.others)} (output= chooses)"
        )


def confirm(module: Any, found: Found) -> None:
    """Refuse what gives other numbers than the module, on small and large numbers of both signs."""
    layers = [_copy(layer) for layer in found.chain.layers]
    if not layers:
        raise ConvertError("it has no layers")
    residual = found.chain.residual
    options: dict[str, Any] = (
        {} if residual.skip is None else {"skip": residual.skip, "skip_scale": residual.scale}
    )
    builder = assemble(layers, {}, [])
    if found.window is not None:
        builder.window = found.window
    model = builder.build("PyTorch", **options)
    for seed, scale in enumerate(_SCALES, 1):
        X = draw(found.width, found.categories, scale, seed, found.window or STEPS)
        with quiet_copy(module, found.dtype, seed) as copied:
            outputs = found.form.call(copied, torch.tensor(X, dtype=found.dtype))
        expected = outputs[found.output].double().numpy()
        Y = reference_outputs(model, X[: found.form.streams])
        if found.window is not None:  # of windows only the last outputs count
            Y = Y[:, -1]
            expected = expected[found.chain.positions >= 0]
        places = found.chain.positions >= 0
        computed = Y.reshape(-1, model.output_size)[
            found.chain.positions[places], found.chain.values[places]
        ]
        expected = expected.reshape(computed.shape)
        if not np.isfinite(expected).all():
            continue
        gap = float(np.abs(expected - computed).max())
        if not gap <= _TOLERANCE * float(np.abs(expected).max()) + 1e-6:
            raise ConvertError(
                f"for random numbers of size {scale:g} it gives other ones than its layers "
                f"({', '.join(layer.name for layer in layers)}), by up to {gap:.2g}"
            )


def reference_outputs(model: Model, X: Float64Array) -> Float64Array:
    """Return Y[S, T, O], computed by the reference backend in float64."""
    backend = ReferenceBackend(model, np.float64)
    S, T, _ = X.shape
    rows = np.tile(initial_row(model).astype(np.float64), (S, 1))
    Y = np.zeros((S, T, model.output_size))
    with np.errstate(over="ignore", invalid="ignore"):
        for t in range(T):
            backend.step_block(rows, np.arange(S), X[:, t], Y[:, t])
    return Y


def _copy(layer: TorchLayer) -> TorchLayer:
    """Return a copy whose weights can be taken once more."""
    return replace(layer.copy(), gap=None, open=False)
