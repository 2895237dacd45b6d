"""Whether a chain of layers is what a module computes; and the chain that is, if one is found."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..backends import ReferenceBackend
from ..errors import ConvertError
from ..model import Model
from ..plan import initial_row
from .chain import Chain
from .check import Float64Array
from .torch_forward import Run, run_forward
from .torch_modules import check_dimensions, parts_of_module
from .torch_parts import InitialState, Part, assemble

Skip = Sequence[int] | None
_TOLERANCE = 1e-4  # of the largest value: the module computes in float32, the reference in float64


def chain_of_module(
    module: Any,
    activations: Mapping[str, str],
    states: Sequence[InitialState],
    skip: Skip,
) -> tuple[Chain, Skip]:
    """Return the layers of a module, and which inputs it adds to its outputs.

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
        verdict = _judge(module, lambda: _registered(module, activations, ()), chain, skip)
        if not isinstance(verdict, bool):
            return chain, skip if verdict is None else verdict[0]
    for F, categories in _widths(module):
        for run in run_forward(module, F, categories):
            found = _traced(run, states, skip)
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
    module: Any, without: Callable[[], Chain], chain: Chain, skip: Skip
) -> tuple[Skip] | bool | None:
    """Return the skip with which a chain is the module; False if it is not, None if unknown.

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
        fits = [_agreement(model, run, skip) for model in models]
        if any(isinstance(fit, tuple) for fit in fits):
            found = next(fit for fit in fits if isinstance(fit, tuple))
            return (skip,) if skip is not None else found
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


def _traced(run: Run, states: Sequence[InitialState], skip: Skip) -> tuple[Chain, Skip] | None:
    """Return the chain that a run went through, if it computes what the run gave."""
    try:
        plain = assemble([_fresh(part) for part in run.parts], {}, [])
        model = plain.build("PyTorch")
        fit = _agreement(model, run, skip) if model.input_size == run.X.shape[2] else None
        if not isinstance(fit, tuple) or run.X.shape[1] == 1:  # a single step says little
            return None
        chain = assemble([_fresh(part) for part in run.parts], {}, list(states))
    except ConvertError:
        return None
    return chain, skip if skip is not None else fit[0]


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


def _agreement(model: Model, run: Run, skip: Skip) -> tuple[Skip] | bool | None:
    """Return the skip with which a model gives what a run gave; False if none, None if unknown."""
    Y = _answers(model, run.X)
    compared = False
    for output in run.outputs:
        for theirs, ours in _arranged(output, Y):
            compared = True
            X = run.X[: len(ours), -ours.shape[1] :]
            found = _skip(theirs - ours, X, _TOLERANCE * max(1.0, float(np.abs(theirs).max())))
            if found is not None:
                given = None if all(n < 0 for n in found) else found
                if skip is None or given is None or list(skip) == given:
                    return (given,)
    return False if compared else None


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


def _skip(difference: Float64Array, X: Float64Array, tolerance: float) -> list[int] | None:
    """Return for each output the input that makes up the difference, -1 if there is none."""
    found = []
    for n in range(difference.shape[2]):
        rest = difference[..., n]
        gaps = [np.abs(rest).max(), *(np.abs(rest - X[..., i]).max() for i in range(X.shape[2]))]
        best = int(np.argmin(gaps))
        if not gaps[best] <= tolerance:
            return None
        found.append(best - 1)
    return found
