"""A graph that is a chain of layers from its input to its output."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import ConvertError
from ...network.layers import Flatten, Repeat
from ..common.builder import ModelBuilder
from .build_layers import build_layers
from .feature_ops import LayerOp
from .inputs import input_candidates
from .interpreter import Interpreter
from .tensor import SymbolicTensor, Unsupported

Candidate = tuple[dict[str, SymbolicTensor], bool]


def candidates(
    model: Any, constants: Mapping[str, Any], window: int | None
) -> tuple[list[Candidate], list[Candidate]]:
    """Return what the inputs of a graph may be: with features on the last axis, and on others."""
    found = list(input_candidates(model, constants, window))
    usual = [one for one in found if _features_last(one)]
    return usual, [one for one in found if not _features_last(one)]


def _features_last(candidate: Candidate) -> bool:
    first = next(iter(candidate[0].values()))
    return first.feature is None or not first.axes or first.is_features(-1)


def read_chain(
    model: Any,
    constants: Mapping[str, Any],
    initial: Mapping[str, Sequence[float]],
    output: str | None,
    candidate: Candidate,
) -> tuple[ModelBuilder, dict[str, Any]]:
    """Return the layers of a graph whose inputs are these, and options of the model.

    Raises
    ------
    ConvertError
        If a node between input and output is not supported.
    """
    inputs, single_step = candidate
    interpreter = Interpreter(model, inputs, constants, initial)
    tensor = _output_tensor(interpreter, output, _shaped(model))
    _check_output(tensor, single_step)
    _check_rows(inputs[tensor.origin], tensor)
    tensor = _decoded(tensor)
    builder = build_layers(tensor, inputs[tensor.origin].width + tensor.side_width)
    builder.window = _window(model, inputs, tensor)
    builder.notes += interpreter.notes
    if tensor.skip is None:
        return builder, {}
    return builder, {"skip": tensor.skip, "skip_scale": tensor.skip_scale}


def _window(model: Any, inputs: Mapping[str, SymbolicTensor], tensor: SymbolicTensor) -> int | None:
    """Return the rows of the windows that a graph takes.

    None if their number is open, or a further input is there to pass the state on.
    """
    given = inputs[tensor.origin]
    rows_axis = tensor.window
    places = [n for n, axis in enumerate(given.axes) if rows_axis and axis == (rows_axis,)]
    if not places or len(inputs) > 1 + bool(tensor.side_width):
        return None
    (value,) = (value for value in model.graph.input if value.name == tensor.origin)
    rows: int = value.type.tensor_type.shape.dim[places[0]].dim_value
    return rows or None


def _shaped(model: Any) -> dict[str, str]:
    """Return what each Reshape reshapes, by its output."""
    return {n.output[0]: n.input[0] for n in model.graph.node if n.op_type == "Reshape"}


def _output_tensor(
    interpreter: Interpreter, output: str | None, shaped: Mapping[str, str]
) -> SymbolicTensor:
    """Return the tensor of the graph's output; one that is only reshaped at the end, before that.

    There a vector may be split, such as into quantiles and horizons: its numbers stay in order.
    """
    names = interpreter.outputs
    if output is not None and output not in names:
        raise ConvertError(f"the graph has no output {output!r}; it has {', '.join(names)}.")
    name, *others = [output] if output else _answers(interpreter)
    if others:
        interpreter.notes.append(
            f"The graph has the outputs {', '.join([name, *others])}, of which this model gives "
            f"{name}: --output (output=) takes another."
        )
    value = interpreter.values.get(name)
    end = name if isinstance(value, Unsupported) else ""
    before = interpreter.values.get(shaped.get(end, ""))
    if isinstance(before, SymbolicTensor) and not any(before.time in a for a in before.axes):
        return before
    if isinstance(value, Unsupported):
        raise value.error
    if not isinstance(value, SymbolicTensor):
        raise ConvertError(f"the output {name!r} does not depend on the input.")
    return value


def _answers(interpreter: Interpreter) -> list[str]:
    """Return the outputs of a graph that are no states of its layers; all, if all are."""
    values = {name: interpreter.values.get(name) for name in interpreter.outputs}
    states = [
        name
        for name, value in values.items()
        if isinstance(value, SymbolicTensor | Unsupported) and value.state
    ]
    return [name for name in values if name not in states] or list(values)


def _decoded(tensor: SymbolicTensor) -> SymbolicTensor:
    """Return all rows of a decoder as one vector: all of them are answered."""
    repeats = any(isinstance(op, LayerOp) and isinstance(op.layer, Repeat) for op in tensor.ops)
    if not repeats or tensor.time is None or not any(tensor.time in a for a in tensor.axes):
        return tensor
    return tensor.append(LayerOp(Flatten(tensor.width, tensor.time.size), {}, "the output"))


def _check_rows(given: SymbolicTensor, tensor: SymbolicTensor) -> None:
    """Refuse a graph that takes its rows for features, and its features for streams."""
    others = [d for axis in given.axes for d in axis if d is not given.feature and not d.open]
    if tensor.time is None and others and not given.is_features(-1):
        raise ConvertError(
            f"the graph computes along {given.width} of {given.shape} values, and nothing says "
            "what the others are."
        )


def _check_output(tensor: SymbolicTensor, single_step: bool) -> None:
    """Refuse an output that mixes steps with features, or that needs a sequence of one step."""
    if single_step and tensor.time is None:
        raise ConvertError("the graph runs with sequences of one length only.")
    alone = [n for n in range(len(tensor.axes)) if tensor.is_features(n)]
    if tensor.feature is not None and not alone:
        raise ConvertError(
            "the output flattens features together with steps or streams, which cannot be stepped."
        )
