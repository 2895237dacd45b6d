"""Finds the chain of layers that is equivalent to a module: by its structure, then by numbers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from ...backends.plan import initial_row
from ...backends.reference import ReferenceBackend
from ...errors import ConvertError
from ...network.activations import parse_activation
from ...network.model import Model
from ..common.builder import ModelBuilder
from ..common.weights import Float64Array
from .chain import Output, Residual, read_output
from .forms import STEPS, STREAMS, Form, draw, forms, quiet_copy
from .layers import InitialState, TorchLayer, assemble, make_weights, to_array
from .modules import check_dimensions, layers_of_module
from .record import Recorder
from .signals import Signals, StreamsMixedError

_SCALES = (1.0, 0.05, 20.0, 400.0)  # of the numbers on which both are compared
_TOLERANCE = 1e-4  # of the largest value: weights are float32 here
_WIDTHS = 8  # numbers of features that are tried
NOT_COMPARED = (
    "no: its layers were taken in the order in which they are registered; what forward does beside "
    "them is not known, because it could not be called with random numbers"
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


def convert_module(
    module: Any,
    activations: Mapping[str, str],
    states: Sequence[InitialState],
    given: Residual,
    window: int | None = None,
) -> tuple[ModelBuilder, Residual, str]:
    """Return the layers of a module, its residual connection, and what they were compared with.

    If the module can be called with random numbers, what its ``forward`` calls is recorded and
    then confirmed by its outputs. Else its layers are taken in the order of their registration.

    Raises
    ------
    ConvertError
        If a layer cannot be stepped, or the module computes something else than a chain of them.
    """
    module = _unwrap(module)
    found = find(module, window)
    if found is None:
        try:
            return _build_registered(module, activations, states), given, NOT_COMPARED
        except ConvertError as error:
            if window is not None:
                raise
            raise ConvertError(
                f"{str(error).rstrip('.')}. {type(module).__name__} could not be called with a "
                "series of any length; if it takes windows of T rows, give their number (window=T)."
            ) from None
    layers = _with_activations(found.chain.layers, activations)
    residual = found.chain.residual
    if given.skip is not None and residual.skip is not None and not _same(residual, given):
        raise ConvertError(
            f"skip: {type(module).__name__} adds inputs {list(residual.skip)} to its outputs with "
            f"factors {residual.scale or 1}, not {list(given.skip)}."
        )
    builder = assemble(layers, {}, list(states))
    return builder, given if residual.skip is None else residual, COMPARED


def _unwrap(module: Any) -> Any:
    """Return the module inside of compiled and data-parallel ones."""
    while True:
        inner = getattr(module, "_orig_mod", None)
        if inner is None and "parallel" in type(module).__module__:
            inner = getattr(module, "module", None)
        if inner is None:
            return module
        module = inner


def _build_registered(
    module: Any, activations: Mapping[str, str], states: Sequence[InitialState]
) -> ModelBuilder:
    layers = layers_of_module(module)
    check_dimensions(layers)
    return assemble(layers, dict(activations), list(states))


def find(module: Any, window: int | None = None) -> Found | None:
    """Return what a module computes, for windows of so many rows if it is one over windows.

    Raises
    ------
    ConvertError
        If it can be called, and computes something else than layers one after the other.
    """
    if window is None:
        return _find(module, None)
    problem: ConvertError | None = None
    try:
        found = _find(module, window)
    except ConvertError as error:
        found, problem = None, error
    if found is not None:
        return found
    try:
        found = _find(module, None)
    except ConvertError as error:
        raise (problem or error) from None
    if found is None and problem is not None:  # it takes windows of so many rows, no others
        raise problem
    return found


def _find(module: Any, window: int | None) -> Found | None:
    """Return what a module computes; None if it cannot be called.

    Raises
    ------
    ConvertError
        If it can be called, and cannot be stepped.
    """
    for name, tensor in module.named_parameters():
        to_array(tensor, name)  # refuses what has no numbers to compare
    if isinstance(module, torch.jit.ScriptModule):
        return None
    problems: list[tuple[int, ConvertError]] = []
    recurrent = (nn.RNNBase, nn.modules.rnn.RNNCellBase)
    remembers = any(isinstance(child, recurrent) for child in module.modules())
    for F, categories in _candidate_widths(module):
        for form in forms(module, F, categories, remembers=remembers or window is not None):
            if window is not None and form.stepwise:
                continue
            if problems and not remembers and form.streams == 1:
                break  # a call with several rows decides
            found = _follow(module, form, F, categories, window)
            if isinstance(found, Found):
                return found
            if found is not None:
                problems.append(found)
                batched = form.streams == STREAMS and not form.stepwise
                if batched and remembers and not isinstance(found[1], StreamsMixedError):
                    break
        if problems:
            break
    if not problems:
        return None
    best = max(problems, key=lambda problem: problem[0])[1]
    raise ConvertError(
        f"{type(module).__name__}: its forward computes something else than layers one after the "
        f"other: {str(best).rstrip('.')}. If forward does that only in training, give a "
        "torch.nn.Sequential of the layers, functions that it applies as activations=, inputs that "
        "it adds to the output as skip=; otherwise those give other numbers than it."
    )


def _candidate_widths(module: Any) -> Iterator[tuple[int, int]]:
    """Yield the numbers of features and categories that an observation may have."""
    sizes: list[tuple[int, int]] = []
    try:
        model = _build_registered(module, {}, ()).build("PyTorch")
        sizes.append((model.input_size, model.categories))
    except ConvertError:
        pass
    for child in module.modules():
        if hasattr(child, "num_embeddings"):
            sizes.append((1, child.num_embeddings))
        for name in ("input_size", "in_channels", "in_features", "num_features"):
            size = getattr(child, name, None)
            if isinstance(size, int):
                sizes.append((size, 0))
    known = list(dict.fromkeys(sizes))[:_WIDTHS]
    categories = next((c for _, c in known if c), 0)
    more = [(F, 0) for F in range(1, 17)] + [(F, categories) for F in range(2, 9) if categories]
    yield from dict.fromkeys([*known, *more])


def _follow(
    module: Any, form: Form, F: int, categories: int, window: int | None
) -> Found | tuple[int, ConvertError] | None:
    """Return what a module computes in a form of call, or how far that went; None without one."""
    for dtype in (torch.float64, torch.float32):
        x = draw(F, categories, 1.0, steps=window or STEPS)
        try:
            recorder, outputs = record(module, form, x, dtype, window is not None)
        except ConvertError as error:
            return 0, error
        except Exception:  # any of the module's own: this form of input does not fit
            continue
        signals = recorder.values.signals
        if recorder.reads:
            return len(signals), ConvertError(recorder.reads)
        problem: ConvertError | None = None
        for n, output in enumerate(outputs):
            if not recorder.values.is_live(output):
                continue
            try:
                chain = read_output(signals, recorder.values.labels(output))
                found = Found(form, n, chain, F, categories, dtype, window)
                _confirm(module, found)
                return found
            except ConvertError as error:
                problem = problem or error
        return len(signals), problem or ConvertError(
            "its output does not come from its input by functions that PyTorch shows"
        )
    return None


def record(
    module: Any, form: Form, X: Float64Array, dtype: torch.dtype, windowed: bool = False
) -> tuple[Recorder, list[torch.Tensor]]:
    """Call a copy of a module with X[S, T, F]; return what was recorded and the outputs."""
    signals = Signals(STREAMS if form.streams > 1 else 1, X.shape[1], X.shape[2], windowed)
    with quiet_copy(module, dtype) as copied:
        recorder = Recorder(copied, signals)
        x = torch.tensor(X, dtype=dtype)
        with recorder:
            outputs = form.call(copied, x, recorder.mark)
    return recorder, outputs


def _confirm(module: Any, found: Found) -> None:
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


def _same(found: Residual, given: Residual) -> bool:
    """Return whether two residuals are the same."""
    ones = [1.0] * len(found.skip or ())
    a, b = (ones if r.scale is None else list(r.scale) for r in (found, given))
    return list(found.skip or ()) == list(given.skip or ()) and np.allclose(a, b, atol=1e-3)


def _with_activations(
    layers: Sequence[TorchLayer], activations: Mapping[str, str]
) -> list[TorchLayer]:
    """Return layers with the caller's activations, which forward applies too or which end it."""
    found = list(layers)
    for name, activation in activations.items():
        places = [n for n, layer in enumerate(found) if layer.name == name]
        if not places:
            listed = ", ".join(layer.name for layer in found)
            raise ConvertError(f"activations: there is no layer {name!r}; there are {listed}.")
        n = places[-1]
        behind = found[n + 1] if n + 1 < len(found) else None
        if behind is None and activation != "linear":
            end = TorchLayer(name, "function", make_weights(name, {}), steps=[activation])
            found.append(end)
        elif behind is not None and not _applies(behind, activation):
            raise ConvertError(
                f"activations: forward applies {behind.name} after {name}, not {activation}."
            )
    return found


def _applies(layer: TorchLayer, activation: str) -> bool:
    if layer.kind != "function" or len(layer.steps) != 1 or not isinstance(layer.steps[0], str):
        return activation == "linear"
    steps = (layer.steps[0], activation)
    return parse_activation(steps[0], together=True) == parse_activation(steps[1], together=True)
