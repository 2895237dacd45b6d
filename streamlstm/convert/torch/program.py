"""TorchScript and programs of torch.export: followed operation by operation, then compared."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ...errors import ConvertError
from ..common.builder import ModelBuilder
from ..common.frameworks import first_line
from ..common.weights import Float64Array
from ..labels.chain import Residual
from ..labels.layers import InitialState
from .equivalence import COMPARED, convert_module, find
from .exported_graph import is_operation, open_graph
from .forms import STEPS, draw
from .operation_error import OperationError
from .program_module import ProgramModule
from .values import tensors_in
from .widths import Wanted, rows_needed

Pair = tuple[Float64Array, Float64Array]
_SCALES = (1.0, 0.05, 20.0)
_TOLERANCE = 1e-4  # of the largest value; a program computes in float32


def is_program(source: Any) -> bool:
    """Return whether a source is TorchScript, a program of torch.export, or the graph of one."""
    kind = type(source).__name__
    return isinstance(source, torch.jit.ScriptModule) or kind == "ExportedProgram" or _graph(source)


def _graph(source: Any) -> bool:
    if not isinstance(source, torch.fx.GraphModule):
        return False
    return any(is_operation(node) for node in source.graph.nodes)


def convert_program(
    program: Any,
    activations: Mapping[str, str],
    states: Sequence[InitialState],
    residual: Residual,
    wanted: Wanted,
) -> tuple[ModelBuilder, Residual, str]:
    """Return the layers of a program, as :func:`.equivalence.convert_module` those of a module.

    Raises
    ------
    ConvertError
        If an operation is not known, or it computes something else than layers one after the other.
    """
    module = ProgramModule(program)
    try:
        if not _agrees(program, module, wanted):  # before: what it calls may not be known
            raise ConvertError("it gives other numbers than its operations one by one")
        scripted = isinstance(program, torch.jit.ScriptModule)
        if not scripted and find(module, wanted) is None:  # of a script that is known
            raise _not_called(module, wanted)
        builder, found, compared = convert_module(module, activations, states, residual, wanted)
    except ConvertError as error:
        text = str(error).replace(f"the forward of {type(module).__name__} ", "it ")
        text = text.replace(type(module).__name__, "it")
        if "in place" in text and isinstance(program, torch.jit.TopLevelTracedModule):
            text += " Or give the module itself, or one that is scripted (torch.jit.script)."
        raise ConvertError(text) from None
    rest = compared.removeprefix(COMPARED)
    text = f"{describe(program)}: its operations, and its outputs for numbers of all sizes{rest}"
    return builder, found, text


def _not_called(module: ProgramModule, wanted: Wanted) -> ConvertError:
    """Return that a program takes no series, with what ended the call that came furthest."""
    furthest = max(module.failures, key=lambda error: error.done, default=None)
    ended = "" if furthest is None else f" (its operation {furthest})"
    rows = rows_needed(module, wanted)
    if rows is not None:
        return ConvertError(
            f"it cannot be called with {wanted.window or STEPS} rows, only with windows of {rows}: "
            f"give their number (window={rows})"
        )
    length = "of any length" if wanted.window is None else f"of {wanted.window} rows"
    told = "; if it takes windows of T rows, give their number (window=T)"
    return ConvertError(
        f"it cannot be called with a series {length}{ended}{told if wanted.window is None else ''}"
    )


def describe(program: Any) -> str:
    """Return what a program is, as the start of a sentence."""
    scripted = isinstance(program, torch.jit.ScriptModule)
    return "the TorchScript" if scripted else "the program of torch.export"


def _agrees(program: Any, module: ProgramModule, wanted: Wanted) -> bool:
    """Return whether a program gives what the module does, for numbers of several sizes."""
    return all(a.shape == b.shape and _close(a, b) for a, b in _outputs(program, module, wanted))


def _outputs(program: Any, module: ProgramModule, wanted: Wanted) -> Iterator[Pair]:
    """Yield what the module and the program give for the same numbers."""
    if not isinstance(program, torch.jit.ScriptModule):
        given, theirs = module.example, open_graph(program)
        for scale in _SCALES if given else ():
            scaled = [x * scale if x.is_floating_point() else x for x in given]
            yield from _both(lambda x=scaled: module(*x), lambda x=scaled: theirs(*x))
        return
    found = find(module, wanted)
    if found is None:
        raise _not_called(module, wanted)
    call = found.form.call
    for scale in _SCALES:
        X = draw(found.width, found.categories, scale, steps=found.window or STEPS)
        x = torch.tensor(X, dtype=torch.float32)
        yield from _both(lambda x=x: call(module, x), lambda x=x: call(program, x))


def _both(own: Any, theirs: Any) -> Iterator[Pair]:
    with torch.no_grad():
        try:
            expected = list(tensors_in(theirs()))
        except Exception as error:  # of any type: it is code of others
            raise ConvertError(f"it cannot be called with a series: {first_line(error)}") from None
        try:
            given = list(tensors_in(own()))
        except OperationError as error:
            raise ConvertError(f"its operation {error}: this is not followed here") from None
        if len(given) != len(expected):
            raise ConvertError("it gives other outputs than its operations one by one")
        pairs = zip(given, expected, strict=True)
        yield from ((a.double().numpy(), b.double().numpy()) for a, b in pairs)


def _close(a: Float64Array, b: Float64Array) -> bool:
    gap = float(np.abs(a - b).max(initial=0))
    return gap <= _TOLERANCE * float(np.abs(b).max(initial=0)) + 1e-6
