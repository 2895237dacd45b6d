"""Whether a chain of layers is what a module computes; and the chain that is, if one is found."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...backends.plan import initial_row
from ...backends.reference import ReferenceBackend
from ...errors import ConvertError
from ...network.model import Model
from ..common.chain import Chain
from ..common.weights import Float64Array
from .forward import Run, run_forward
from .modules import check_dimensions, parts_of_module
from .parts import InitialState, Part, assemble

_ENOUGH = 16  # numbers from which a factor is told
_TOLERANCE = 1e-4  # of the largest value: the module computes in float32, the reference in float64


class Residual(NamedTuple):
    """Which input is added to each output (-1: none), and times what; None for nothing at all."""

    skip: Sequence[int] | None = None
    scale: Sequence[float] | None = None


def chain_of_module(
    module: Any,
    activations: Mapping[str, str],
    states: Sequence[InitialState],
    given: Residual,
) -> tuple[Chain, Residual]:
    """Return the layers of a module, and what it adds to its outputs if ``given`` says nothing.

    They are first taken in the order in which they are registered. If the module can be called,
    its answers to random numbers are compared; if they differ, the layers are taken in the order
    in which ``forward`` calls them, with the functions that it applies between them.

    Raises
    ------
    ConvertError
        If a layer cannot be stepped, or the module computes something else than its layers.
    """
    problem: ConvertError | None = None
    try:
        chain = _registered(module, activations, states)
    except ConvertError as error:
        problem = error
    else:
        verdict = _judge(module, lambda: _registered(module, activations, ()), chain, given)
        if not isinstance(verdict, bool):
            return chain, verdict or given
    for F, categories in _widths(module):
        several = False  # a call with several streams and steps says no
        for run in run_forward(module, F, categories):
            if any(part.kind == "recurrent" for part in run.parts):
                if several and not run.several:
                    break
                several = several or run.several
            found = _traced(run, states, given)
            if found is not None:
                return found
    raise problem or ConvertError(
        f"{type(module).__name__}: its forward computes something else than its layers "
        f"({', '.join(part.name for part in parts_of_module(module))}), one after the other or in "
        "the order in which it calls them. Only such a chain can be taken over. If forward does "
        "it only in training, give a torch.nn.Sequential of the layers in order, functions that "
        "it applies as activations=, inputs that it adds to the output as skip=."
    )


def _registered(
    module: Any, activations: Mapping[str, str], states: Sequence[InitialState]
) -> Chain:
    parts = parts_of_module(module)
    check_dimensions(parts)
    return assemble(parts, dict(activations), list(states))


def _judge(
    module: Any, without: Callable[[], Chain], chain: Chain, given: Residual
) -> Residual | bool | None:
    """Return the residual with which a chain is the module; False if none, None if unknown.

    What the caller adds to the module, a state or a skip, may be known to its forward or not.
    """
    model = chain.build("PyTorch")
    judged, several = None, False  # several: a call with several streams and steps says no
    called = False
    for run in run_forward(module, model.input_size, model.categories):
        called = True
        if several and not run.several:
            break
        models = [model, without().build("PyTorch")]
        fits = [_agreement(model, run, given) for model in models]
        for fit in fits:
            if isinstance(fit, Residual):
                return fit
        if fits[0] is False:
            judged, several = False, several or run.several
        elif run.outputs and run.several:
            judged = False  # of another size than what the layers give
    if not called and not model.categories and _takes_fewer(module, model.input_size):
        return False
    return judged


def _takes_fewer(module: Any, F: int) -> bool:
    """Say whether a module can be called with fewer features: it makes more of them by itself."""
    return any(
        next(run_forward(module, width, 0), None) is not None for width in range(1, min(F, 17))
    )


def _traced(
    run: Run, states: Sequence[InitialState], given: Residual
) -> tuple[Chain, Residual] | None:
    """Return the chain that a run went through, if it computes what the run gave."""
    try:
        plain = assemble([_fresh(part) for part in run.parts], {}, [])
        model = plain.build("PyTorch")
        fit = _agreement(model, run, given) if model.input_size == run.X.shape[2] else None
        if not isinstance(fit, Residual) or run.X.shape[1] == 1:  # a single step says little
            return None
        return assemble([_fresh(part) for part in run.parts], {}, list(states)), fit
    except ConvertError:
        return None


def _fresh(part: Part) -> Part:
    """Return a part whose weights can be taken once more."""
    return Part(part.name, part.kind, part.weights.copy(), dict(part.options), part.steps)


def _widths(module: Any) -> Iterator[tuple[int, int]]:
    """Yield how many features, and categories, an observation of a module may have."""
    sizes: list[tuple[int, int]] = []
    for child in module.modules():
        if hasattr(child, "num_embeddings"):
            sizes.append((1, child.num_embeddings))
        for name in ("input_size", "in_features", "num_features"):
            size = getattr(child, name, None)
            if isinstance(size, int):
                sizes.append((size, 0))
    yield from list(dict.fromkeys(sizes))[:4]


def _agreement(model: Model, run: Run, given: Residual) -> Residual | bool | None:
    """Return the residual with which a model gives what a run gave.

    False if there is none, or another than the one that the caller says; None if no output has the
    size of what the model gives. What the caller says may also be known to the caller alone.
    """
    Y = _answers(model, run.X)
    compared = False
    for output in run.outputs:
        for theirs, ours in _arranged(output, Y):
            compared = True
            X = run.X[: len(ours), -ours.shape[1] :]
            tolerance = _TOLERANCE * max(1.0, float(np.abs(theirs).max()))
            found = _residual(theirs - ours, X, tolerance)
            if found is not None and (found.skip is None or _agrees(found, given)):
                return found
    return False if compared else None


def _agrees(found: Residual, given: Residual) -> bool:
    """Say whether the caller says the same, or nothing."""
    if given.skip is None:
        return True
    ones = [1.0] * len(found.skip or ())
    a, b = (ones if r.scale is None else list(r.scale) for r in (found, given))
    return list(found.skip or ()) == list(given.skip) and np.allclose(a, b, atol=1e-3)


def _answers(model: Model, X: Float64Array) -> Float64Array:
    """Return Y[S, T, O] of the reference in float64."""
    backend = ReferenceBackend(model, np.float64)
    S, T, _ = X.shape
    rows = np.tile(initial_row(model).astype(np.float64), (S, 1))
    Y = np.zeros((S, T, model.output_size))
    for t in range(T):
        backend.step_block(rows, np.arange(S), X[:, t], Y[:, t])
    return Y


def _arranged(output: Float64Array, Y: Float64Array) -> Iterator[tuple[Float64Array, Float64Array]]:
    """Yield what a module gave with its axes as Y[S, T, O], or the last step of it."""
    S, T, O = Y.shape
    if output.size == Y.size:
        yield output.reshape(S, T, O), Y
        yield output.reshape(T, S, O).transpose(1, 0, 2), Y
        yield output.reshape(S, O, T).transpose(0, 2, 1), Y
    elif output.size == S * O:
        yield output.reshape(S, 1, O), Y[:, -1:]
    elif output.size == T * O:  # some look at the first stream only
        yield output.reshape(1, T, O), Y[:1]


def _residual(difference: Float64Array, X: Float64Array, tolerance: float) -> Residual | None:
    """Return for each output the input that makes up the difference, and times what."""
    skip, scale = [], []
    for n in range(difference.shape[2]):
        rest = difference[..., n]
        enough = rest.size >= _ENOUGH  # any factor fits a number or two
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
