"""Finds the chain of layers that is equivalent to a module: by its structure, then by numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from ...errors import ConvertError
from ...network.activations import parse_activation
from ..common.builder import ModelBuilder
from ..common.error_context import AdvisedError
from ..common.weights import Float64Array
from ..labels.chain import Residual, read_output
from ..labels.layers import ORDER, InitialState, TorchLayer, assemble, make_weights, to_array
from ..labels.signal import WindowNeededError
from ..labels.signals import Signals, StreamsMixedError
from .calls import (
    CallError,
    check_layout,
    check_leftovers,
    check_width,
    choose_output,
    names_in,
    other_outputs,
)
from .confirm import COMPARED as COMPARED
from .confirm import Found, confirm
from .forms import (
    BATCH_OF_ONE,
    STEPS,
    STREAMS,
    Form,
    draw,
    forms,
    quiet_copy,
)
from .not_called import check_seen, how_called
from .record import Recorder
from .widths import Wanted, build_registered, candidate_widths, rows_needed

NOT_COMPARED = (
    "no: its layers were taken in the order in which they are registered; what forward does beside "
    "them is not known, because it could not be called with random numbers"
)

_REST = (
    " What comes before it, or behind it, can be given as a module of its own, and the rest be "
    "computed in your own program."
)

_NAMES = (
    " If a row has several features, which its layers do not say, give their names: inputs=[...]."
)

_WINDOW = " As a model of windows it can be brought: give the number of its rows (window=T)."


def convert_module(
    module: Any,
    activations: Mapping[str, str],
    states: Sequence[InitialState],
    given: Residual,
    wanted: Wanted = Wanted(),  # noqa: B008 - frozen
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
    found = find(module, wanted)
    if found is None:
        _check_rows(module, wanted)
        try:
            builder = build_registered(module, activations, states)
        except ConvertError as error:
            text = str(error).removesuffix(ORDER).rstrip(". ")
            raise ConvertError(
                f"{how_called(module, wanted)}. Its layers cannot be taken in the order in which "
                f"they are registered either: {text}."
            ) from None
        check_seen(module, wanted)
        return builder, given, NOT_COMPARED
    layers = _with_activations(found.chain.layers, activations)
    residual = found.chain.residual
    if given.skip is not None and residual.skip is not None and not _same(residual, given):
        raise ConvertError(
            f"skip: {type(module).__name__} adds inputs {list(residual.skip)} to its outputs with "
            f"factors {residual.scale or 1}, not {list(given.skip)}."
        )
    builder = assemble(layers, {}, list(states))
    return builder, given if residual.skip is None else residual, found.compared


def _check_rows(module: Any, wanted: Wanted) -> None:
    """Refuse a module that can be called, with another number of rows than those tried."""
    rows = rows_needed(module, wanted)
    if rows == (wanted.window or STEPS):
        raise ConvertError(
            f"{type(module).__name__} can be called with zeros, but not with random numbers: it "
            "takes some columns for whole numbers, as an embedding its categories. One embedding "
            "can be brought, of the first column; give the network behind the embeddings as a "
            "module of its own, and look the vectors up in your own program."
        )
    if rows is not None:
        _fits_windows(module, replace(wanted, window=rows))
        raise ConvertError(
            f"{type(module).__name__} cannot be called with {wanted.window or STEPS} rows, only "
            f"with windows of {rows}: give their number (window={rows})."
        )


def _unwrap(module: Any) -> Any:
    """Return the module inside of compiled and data-parallel ones."""
    while True:
        inner = getattr(module, "_orig_mod", None)
        if inner is None and "parallel" in type(module).__module__:
            inner = getattr(module, "module", None)
        if inner is None:
            return module
        module = inner


def find(module: Any, wanted: Wanted = Wanted()) -> Found | None:  # noqa: B008 - frozen
    """Return what a module computes, for windows of so many rows if it is one over windows.

    Raises
    ------
    ConvertError
        If it can be called, and computes something else than layers one after the other.
    """
    plain = replace(wanted, window=None)
    if wanted.window is None:
        return _find(module, plain)
    problem: ConvertError | None = None
    try:
        found = _find(module, wanted)
    except CallError:
        raise
    except ConvertError as error:
        found, problem = None, error
    if found is not None:
        return found
    try:
        found = _find(module, plain)
    except ConvertError as error:
        raise (problem or error) from None
    if found is None and problem is not None:  # it can be called with such windows only
        raise problem
    return found


def _find(module: Any, wanted: Wanted) -> Found | None:
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
    window = wanted.window
    problems: list[tuple[int, ConvertError]] = []
    usual: Form | None = None  # a batch of one, if it can be called with that
    recurrent = (nn.RNNBase, nn.modules.rnn.RNNCellBase)
    remembers = any(isinstance(child, recurrent) for child in module.modules())
    for F, categories in candidate_widths(module, wanted):
        for form in forms(module, F, categories, remembers=remembers or window is not None):
            if window is not None and form.stepwise:
                continue
            if problems and not remembers and form.streams == 1:
                break  # a call with several rows decides
            found = _follow(module, form, F, categories, wanted)
            if isinstance(found, Found):
                _check_call(module, found, usual, wanted)
                return found
            if found is not None:
                problems.append(found)
                usual = form if form.shape == BATCH_OF_ONE else usual
                batched = form.streams == STREAMS and not form.stepwise
                if batched and remembers and not isinstance(found[1], StreamsMixedError):
                    break
        if problems:
            break
    if not problems:
        return None
    best = max(problems, key=lambda problem: problem[0])[1]
    text = str(best).removesuffix(ORDER).rstrip(". ")
    way = "" if isinstance(best, AdvisedError) else _REST
    if "in part only" in text and wanted.width is None:
        way = _NAMES
    if window is None:
        needed = isinstance(best, WindowNeededError)
        if _fits_windows(module, replace(wanted, window=STEPS), needed) and not needed:
            way = _WINDOW
    raise ConvertError(
        f"the forward of {type(module).__name__} computes something else than the layers here: "
        f"{text}.{way}"
    )


def _fits_windows(module: Any, wanted: Wanted, needed: bool = True) -> bool:
    """Return whether a module can be brought as one of windows.

    Raises
    ------
    ConvertError
        If nothing else is left (``needed``), and that cannot be done either.
    """
    try:
        return _find(module, wanted) is not None
    except CallError:
        return True  # it can, if a little more is said
    except ConvertError:
        if needed:
            raise
        return False


def _follow(
    module: Any, form: Form, F: int, categories: int, wanted: Wanted
) -> Found | tuple[int, ConvertError] | None:
    """Return what a module computes in a form of call, or how far that went; None without one."""
    window = wanted.window
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
            return len(signals), AdvisedError(recorder.reads)
        problem: ConvertError | None = None
        names = recorder.outputs
        for n in choose_output(wanted.output, names):
            output = outputs[n]
            if not recorder.values.is_live(output):
                continue
            try:
                chain = read_output(signals, recorder.values.labels(output))
                others = other_outputs(recorder.values, outputs, names, n, form)
                found = Found(form, n, chain, F, categories, dtype, window, names[n], others=others)
                confirm(module, found)
                return found
            except ConvertError as error:
                problem = problem or error
            except (IndexError, ValueError) as error:  # it mixes streams that are called together
                told = f"its output has another form for other numbers of streams ({error})"
                problem = problem or ConvertError(told)
        return len(signals), problem or ConvertError(
            "its output does not come from its input by functions that PyTorch shows"
        )
    return None


def _check_call(module: Any, found: Found, usual: Form | None, wanted: Wanted) -> None:
    """Refuse what is only right for one way of calling a module, which it does not say."""
    X = draw(found.width, found.categories, 1.0, steps=found.window or STEPS)
    check_layout(module, found.form, usual, X, found.output)
    if wanted.width is None and not found.categories:
        check_width(module, found.form, X, found.output)
    check_leftovers(module, found.form, X)


def record(
    module: Any, form: Form, X: Float64Array, dtype: torch.dtype, windowed: bool = False
) -> tuple[Recorder, list[torch.Tensor]]:
    """Call a copy of a module with X[S, T, F]; return what was recorded and the outputs."""
    signals = Signals(STREAMS if form.streams > 1 else 1, X.shape[1], X.shape[2], windowed)
    with quiet_copy(module, dtype) as copied:
        recorder = Recorder(copied, signals)
        x = torch.tensor(X, dtype=dtype)
        copied.register_forward_hook(
            lambda _m, _x, given: setattr(recorder, "outputs", names_in(given))
        )
        with recorder:
            outputs = form.call(copied, x, recorder.mark)
    return recorder, outputs


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
