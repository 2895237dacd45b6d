"""What was found of a module, confirmed by its outputs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ...errors import ConvertError
from ..labels.chain import Output
from ..labels.confirm import largest_gap
from ..labels.layers import TorchLayer, assemble
from .forms import STEPS, Form, draw, quiet_copy

_SCALES = (1.0, 0.05, 20.0, 400.0)  # of the numbers on which both are compared
_TOLERANCE = 1e-4  # of the largest value: weights are float32 here
_NOT_FINITE = (
    "no: what its forward calls was read, but its outputs for random numbers are not finite"
)
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
    finite: bool = True
    others: Sequence[str] = ()

    @property
    def _answers_one(self) -> bool:
        """Whether it returns numbers of the first of several series only."""
        own = STEPS if self.window is None else 1
        return self.form.streams > 1 and bool((self.chain.positions < own).all())

    @property
    def compared(self) -> str:
        """What was compared: the form of call, if it is not the usual one, and which output."""
        if not self.finite:
            return _NOT_FINITE
        called = self.form.shape or ("[series, rows, features]" if self._answers_one else "")
        shape = f", called with {called}" if called else ""
        shape += f", {self.form.started} given" if self.form.started else ""
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
    found.finite = False
    for seed, scale in enumerate(_SCALES, 1):
        X = draw(found.width, found.categories, scale, seed, found.window or STEPS)
        with quiet_copy(module, found.dtype, seed) as copied:
            outputs = found.form.call(copied, torch.tensor(X, dtype=found.dtype))
        expected = outputs[found.output].double().numpy()
        windowed = found.window is not None
        both = largest_gap(model, found.chain, X[: found.form.streams], expected, windowed)
        if both is None:
            continue
        found.finite = True
        gap, size = both
        if not gap <= _TOLERANCE * size + 1e-6:
            raise ConvertError(
                f"for random numbers of size {scale:g} it gives other ones than its layers "
                f"({', '.join(layer.name for layer in layers)}), by up to {gap:.2g}"
            )


def _copy(layer: TorchLayer) -> TorchLayer:
    """Return a copy whose weights can be taken once more."""
    return replace(layer.copy(), gap=None, open=False)
