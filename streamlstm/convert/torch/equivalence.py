"""Finds the chain of layers that is numerically equivalent to a module."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...backends.plan import initial_row
from ...backends.reference import ReferenceBackend
from ...errors import ConvertError
from ...network.model import Model
from ..common.builder import ModelBuilder
from ..common.weights import Float64Array
from .layers import InitialState, TorchLayer, assemble
from .modules import check_dimensions, layers_of_module
from .trace import Trace, trace_forward

_MIN_SAMPLES = 16  # values from which a factor is estimated
_TOLERANCE = 1e-4  # of the largest value: the module computes in float32, the reference in float64


class Residual(NamedTuple):
    """Input added to each output (-1: none) and its factor; None without a residual connection."""

    skip: Sequence[int] | None = None
    scale: Sequence[float] | None = None


def convert_module(
    module: Any,
    activations: Mapping[str, str],
    states: Sequence[InitialState],
    given: Residual,
) -> tuple[ModelBuilder, Residual]:
    """Return the layers of a module, and its residual connection unless ``given`` has one.

    The layers are first taken in the order in which they are registered. If the module can be
    called, its outputs for random numbers are compared with theirs; if they differ, the layers are
    taken in the order in which ``forward`` calls them, with the functions applied between them.

    Raises
    ------
    ConvertError
        If a layer cannot be stepped, or the module computes something else than its layers.
    """
    problem: ConvertError | None = None
    try:
        builder = _build_registered(module, activations, states)
    except ConvertError as error:
        problem = error
    else:
        verdict = _check_registered(
            module, lambda: _build_registered(module, activations, ()), builder, given
        )
        if not isinstance(verdict, bool):
            return builder, verdict or given
    for F, categories in _candidate_widths(module):
        batched = False  # whether a call with several streams and steps did not agree
        for trace in trace_forward(module, F, categories):
            if any(layer.kind == "recurrent" for layer in trace.layers):
                if batched and not trace.batched:
                    break
                batched = batched or trace.batched
            found = _build_traced(trace, states, given)
            if found is not None:
                return found
    raise problem or ConvertError(
        f"{type(module).__name__}: its forward computes something else than its layers "
        f"({', '.join(layer.name for layer in layers_of_module(module))}), one after the other or "
        "in the order in which it calls them. Only such a chain can be converted. If forward does "
        "it only in training, give a torch.nn.Sequential of the layers in order, functions that "
        "it applies as activations=, inputs that it adds to the output as skip=."
    )


def _build_registered(
    module: Any, activations: Mapping[str, str], states: Sequence[InitialState]
) -> ModelBuilder:
    layers = layers_of_module(module)
    check_dimensions(layers)
    return assemble(layers, dict(activations), list(states))


def _check_registered(
    module: Any, without: Callable[[], ModelBuilder], builder: ModelBuilder, given: Residual
) -> Residual | bool | None:
    """Return the residual with which a chain equals the module; False if none, None if unknown.

    The caller's initial state and skip may be part of ``forward`` already, or not.
    """
    model = builder.build("PyTorch")
    judged: bool | None = None
    batched = False  # whether a call with several streams and steps did not agree
    called = False
    for trace in trace_forward(module, model.input_size, model.categories):
        called = True
        if batched and not trace.batched:
            break
        models = [model, without().build("PyTorch")]
        fits = [_match(model, trace, given) for model in models]
        for fit in fits:
            if isinstance(fit, Residual):
                return fit
        if fits[0] is False:
            judged, batched = False, batched or trace.batched
        elif trace.outputs and trace.batched:
            judged = False  # the outputs have another size than those of the layers
    if not called and not model.categories and _takes_fewer(module, model.input_size):
        return False
    return judged


def _takes_fewer(module: Any, F: int) -> bool:
    """Return whether a module accepts fewer features, and so derives further ones itself."""
    return any(
        next(trace_forward(module, width, 0), None) is not None for width in range(1, min(F, 17))
    )


def _build_traced(
    trace: Trace, states: Sequence[InitialState], given: Residual
) -> tuple[ModelBuilder, Residual] | None:
    """Return the layers of a trace, if they compute its outputs."""
    try:
        plain = assemble([_copy(layer) for layer in trace.layers], {}, [])
        model = plain.build("PyTorch")
        fit = _match(model, trace, given) if model.input_size == trace.X.shape[2] else None
        if not isinstance(fit, Residual) or trace.X.shape[1] == 1:  # one step is not enough to tell
            return None
        return assemble([_copy(layer) for layer in trace.layers], {}, list(states)), fit
    except ConvertError:
        return None


def _copy(layer: TorchLayer) -> TorchLayer:
    """Return a copy whose weights can be taken once more."""
    return TorchLayer(
        layer.name, layer.kind, layer.weights.copy(), dict(layer.options), layer.steps
    )


def _candidate_widths(module: Any) -> Iterator[tuple[int, int]]:
    """Yield the numbers of features and categories that an observation may have."""
    sizes: list[tuple[int, int]] = []
    for child in module.modules():
        if hasattr(child, "num_embeddings"):
            sizes.append((1, child.num_embeddings))
        for name in ("input_size", "in_features", "num_features"):
            size = getattr(child, name, None)
            if isinstance(size, int):
                sizes.append((size, 0))
    yield from list(dict.fromkeys(sizes))[:4]


def _match(model: Model, trace: Trace, given: Residual) -> Residual | bool | None:
    """Return the residual with which a model computes the outputs of a trace.

    False if there is none, or another than the caller's; None if no output has the size of the
    model's. A residual that only the caller knows of is accepted.
    """
    Y = _reference_outputs(model, trace.X)
    compared = False
    for output in trace.outputs:
        for expected, computed in _layouts(output, Y):
            compared = True
            X = trace.X[: len(computed), -computed.shape[1] :]
            tolerance = _TOLERANCE * max(1.0, float(np.abs(expected).max()))
            found = _fit_residual(expected - computed, X, tolerance)
            if found is not None and (found.skip is None or _same_residual(found, given)):
                return found
    return False if compared else None


def _same_residual(found: Residual, given: Residual) -> bool:
    """Return whether two residuals are the same, or none is given."""
    if given.skip is None:
        return True
    ones = [1.0] * len(found.skip or ())
    a, b = (ones if r.scale is None else list(r.scale) for r in (found, given))
    return list(found.skip or ()) == list(given.skip) and np.allclose(a, b, atol=1e-3)


def _reference_outputs(model: Model, X: Float64Array) -> Float64Array:
    """Return Y[S, T, O], computed by the reference backend in float64."""
    backend = ReferenceBackend(model, np.float64)
    S, T, _ = X.shape
    rows = np.tile(initial_row(model).astype(np.float64), (S, 1))
    Y = np.zeros((S, T, model.output_size))
    for t in range(T):
        backend.step_block(rows, np.arange(S), X[:, t], Y[:, t])
    return Y


def _layouts(output: Float64Array, Y: Float64Array) -> Iterator[tuple[Float64Array, Float64Array]]:
    """Yield an output with its axes as in Y[S, T, O], or Y's last step, and that part of Y."""
    S, T, O = Y.shape
    if output.size == Y.size:
        yield output.reshape(S, T, O), Y
        yield output.reshape(T, S, O).transpose(1, 0, 2), Y
        yield output.reshape(S, O, T).transpose(0, 2, 1), Y
    elif output.size == S * O:
        yield output.reshape(S, 1, O), Y[:, -1:]
    elif output.size == T * O:  # modules that return the first stream only
        yield output.reshape(1, T, O), Y[:1]


def _fit_residual(difference: Float64Array, X: Float64Array, tolerance: float) -> Residual | None:
    """Return for each output the input, and its factor, that accounts for the difference."""
    skip, scale = [], []
    for n in range(difference.shape[2]):
        rest = difference[..., n]
        enough = rest.size >= _MIN_SAMPLES  # any factor fits a number or two
        columns = np.moveaxis(X, 2, 0)
        factors = [float((rest * x).sum() / (x * x).sum()) if enough else 1.0 for x in columns]
        gaps = [np.abs(rest).max()]
        gaps += [np.abs(rest - a * x).max() for a, x in zip(factors, columns, strict=True)]
        factors = [1.0, *factors]
        best = 0 if gaps[0] <= tolerance else int(np.argmin(gaps))
        if not gaps[best] <= tolerance:
            return None
        skip.append(best - 1)
        scale.append(float(f"{factors[best]:.6g}"))
    if all(column < 0 for column in skip):
        return Residual()
    return Residual(skip, None if scale == [1.0] * len(scale) else scale)
