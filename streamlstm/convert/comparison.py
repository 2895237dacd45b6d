"""How far a model is from its source, for pieces of a series."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends.plan import initial_row
from ..backends.reference import ReferenceBackend
from ..engine.engine import Engine
from ..errors import ConvertError
from ..network.model import Model
from . import reference_outputs as sources
from .common.weights import Float64Array

WINDOWS, PIECES, PIECE = 10, 16, 12
_RELATIVE = 1e-4  # of the largest output: the source often computes in float32 too
_NOISES = 4.0  # times the difference that float32 itself makes
_CHAOTIC = 1e-3  # of the largest output: more noise than this hides a wrong network

Float32Array = NDArray[np.float32]
Compute = Callable[[Float32Array], sources.ReferenceOutputs]


@dataclass(frozen=True)
class Comparison:
    """How far a model is from its source.

    Attributes
    ----------
    agrees : bool
        Whether no output differs by more than its tolerance.
    difference : float
        The largest difference, in the unit of the output where it is furthest beyond, or least
        within, its tolerance.
    tolerance : float
        Of that output: 1e-4 of its largest value, and four times its noise.
    noise : float
        The largest difference of that output between the network's arithmetic in float32 and in
        float64.
    output : str
        Its name.
    size : float
        The largest value of that output.
    how : str
        What was compared: "200 steps", "40 windows of 30 rows", or pieces of a series that each
        start from the initial state, where a free run is chaotic.
    inputs : str
        What both were given.
    source : str
        What computed the source, and what that leaves out.
    left_out : tuple of str
        Options of the conversion that the source does not contain, so that they were not compared.
    """

    agrees: bool
    difference: float
    tolerance: float
    noise: float
    output: str
    size: float
    how: str
    inputs: str
    source: str
    left_out: tuple[str, ...] = ()

    def summary(self) -> str:
        """Return what was compared in a line, for the metadata of a model."""
        less = f", without {' and '.join(self.left_out)}" if self.left_out else ""
        answer = "yes" if self.agrees else "no, they differ"
        return (
            f"{answer}: {self.difference:.2g} of {self.size:.3g} over {self.how} "
            f"({self.source}{less})"
        )

    def __str__(self) -> str:
        verdict = "within" if self.agrees else "more than"
        return (
            f"largest difference over {self.how}: {self.difference:.2e} ({self.source}), {verdict} "
            f"the tolerance of {self.tolerance:.2g} for {self.output}, which reaches "
            f"{self.size:.4g} (float32 alone makes {self.noise:.2g}); inputs: {self.inputs}"
        )


def judge(
    model: Model, compute: Compute, X: Float32Array, inputs: str, added: tuple[str, ...]
) -> Comparison:
    """Compare a model with what computes its source: windows, or a run and pieces of it.

    Parameters
    ----------
    model : Model
    compute : callable
        Computes the source for X[T, F].
    X : float32[T, F]
    inputs : str
        What these are.
    added : tuple of str
        What the model has and the source has not.
    """
    T = model.window
    if T is not None:
        starts = np.unique(np.linspace(0, len(X) - T, WINDOWS).astype(int))
        pieces, how = [X[n : n + T] for n in starts], f"{len(starts)} windows of {T} rows"
        return _measure(model, compute, pieces, how, inputs, added)
    free = _measure(model, compute, [X], f"{len(X)} steps", inputs, added)
    if free.noise <= _CHAOTIC * free.size:
        return free
    count = max(1, min(PIECES, len(X) // PIECE))
    pieces = [X[n * PIECE : (n + 1) * PIECE] for n in range(count)]
    how = (
        f"{sum(map(len, pieces))} steps, in {count} pieces that each start from the initial state, "
        f"because float32 alone changes a run of {len(X)} steps by {free.noise:.2g}"
    )
    return _measure(model, compute, pieces, how, inputs, added)


def _measure(
    model: Model,
    compute: Compute,
    pieces: list[Float32Array],
    how: str,
    inputs: str,
    added: tuple[str, ...],
) -> Comparison:
    """Compare pieces of a series that each start from the initial state."""
    given = [compute(piece) for piece in pieces]
    last = model.window is not None
    keep = [1 if last else min(len(g.values), len(p)) for g, p in zip(given, pieces, strict=True)]
    expected = np.concatenate([g.values[-n:] for g, n in zip(given, keep, strict=True)])
    if expected.shape[1] != model.output_size:
        raise ConvertError(
            f"compare: the source computes {expected.shape[1]} outputs, the model has "
            f"{model.output_size}; expected the source that the model was converted from."
        )
    engine = Engine(model, len(pieces))
    ours, rough, exact = [], [], []
    for stream, (piece, n) in enumerate(zip(pieces, keep, strict=True)):
        ours.append(np.stack([engine.step(stream, x) for x in piece])[-n:])
        rough.append(_reference(model, piece, np.float32)[-n:])
        exact.append(_reference(model, piece, np.float64)[-n:])
    difference = np.abs(np.concatenate(ours) - expected).max(axis=0)
    noise = np.abs(np.concatenate(rough) - np.concatenate(exact)).max(axis=0)
    size = np.abs(expected).max(axis=0)
    tolerance = _RELATIVE * size + _NOISES * noise + 1e-9
    excess = np.where(np.isnan(difference), np.inf, difference / tolerance)
    worst = int(np.argmax(excess))
    whole = last or keep[0] == len(pieces[0])
    return Comparison(
        agrees=bool(excess[worst] <= 1),
        difference=float(difference[worst]),
        tolerance=float(tolerance[worst]),
        noise=float(noise[worst]),
        output=model.outputs[worst],
        size=float(size[worst]),
        how=how if whole else f"the last of {how}",
        inputs=inputs,
        source=given[0].source,
        left_out=added,
    )


def _reference(model: Model, X: Float32Array, dtype: Any) -> Float64Array:
    """Return Y[T, O], computed by the reference backend from the initial state."""
    backend = ReferenceBackend(model, dtype)
    row = initial_row(model).astype(dtype)[None].copy()
    Y = np.zeros((len(X), 1, model.result_size), dtype)
    with np.errstate(all="ignore"):
        for t, x in enumerate(X.astype(dtype)):
            backend.step_block(row, np.zeros(1, np.int64), x[None], Y[t])
    return np.asarray(Y[:, 0, : model.output_size], np.float64)
