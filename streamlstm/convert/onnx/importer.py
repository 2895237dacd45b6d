"""Conversion of ONNX graphs: the chain of layers from the graph's input to its output."""

from collections import Counter
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from ...errors import ConvertError
from ...network.layers import Flatten, Repeat
from ...network.model import Model
from ..common.beside import notes_on_texts
from ..common.error_context import AdvisedError, refusals
from .build_layers import build_layers
from .feature_ops import LayerOp
from .file import exported_metadata, inline_functions, load_model, own_metadata, to_array
from .following.importer import COMPARED, follow, takes_windows
from .inputs import input_candidates
from .interpreter import Interpreter
from .loops import replace_loops
from .parts import ending_at, way_around
from .tensor import SymbolicTensor, Unsupported


def from_onnx(source: Any, *, output: str | None = None, **options: Any) -> Model:
    """Convert an ONNX graph.

    The nodes from the graph's input to its output must be a chain: LSTM, GRU and RNN, dense layers,
    normalisation, activations, an embedding as the first, and nodes that rearrange axes. The last
    step of the sequence may be selected. Constant initial states become part of the model; where
    they are inputs of the graph, a stream starts from zeros.

    Parameters
    ----------
    source : path, bytes or onnx.ModelProto
    output : str, optional
        Name of the output to convert; by default the first that is not the state of a layer.
    **options
        Names, scaling, skip, horizon and metadata, as :class:`streamlstm.Model` takes them. The
        horizon is 0, no forecast, by default.

    Returns
    -------
    Model

    Raises
    ------
    ConvertError
        If the file cannot be read, or a node between input and output is not supported; the message
        names the node.
    """
    name = str(source) if isinstance(source, str | PathLike) else ""
    with refusals("an ONNX graph", name):
        return convert_graph(ending_at(load_model(source), output), output, options)


def convert_graph(
    model: Any,
    output: str | None,
    options: Mapping[str, Any],
    source: str = "ONNX",
    notes: Sequence[str] = (),
    whole: bool = True,
) -> Model:
    """Convert a graph that was read, or written from one of another format.

    Parameters
    ----------
    model : onnx.ModelProto
    output : str, optional
    options : mapping
        As for :func:`from_onnx`.
    source : str
        The format, for the metadata.
    notes : sequence of str
        What the reader of that format did.
    whole : bool
        Whether a refusal says which part of the graph can be brought.

    Raises
    ------
    ConvertError
        If a node between input and output is not supported.
    """
    model, loops = replace_loops(inline_functions(model))
    constants = {tensor.name: to_array(tensor) for tensor in model.graph.initializer}
    exported = exported_metadata(model)
    if options.get("window", 0) is None:
        exported.pop("start", None)
    initial = exported.pop("initial", {})
    more = notes_on_texts(own_metadata(model), options, "The file's metadata")
    problem: ConvertError | None = None
    window = options.get("window")
    rows = window if isinstance(window, int) and not isinstance(window, bool) else None
    for inputs, single_step in input_candidates(model, constants, rows):
        try:
            interpreter = Interpreter(model, inputs, constants, initial)
            tensor = _output_tensor(interpreter, output, _shaped(model))
            _check_output(tensor, single_step)
            _check_rows(inputs[tensor.origin], tensor)
            tensor = _decoded(tensor)
            builder = build_layers(tensor, inputs[tensor.origin].width + tensor.side_width)
            builder.window = _window(model, inputs, tensor)
            builder.notes += dict.fromkeys([*notes, *interpreter.notes, *more])
            chosen = {**exported, **options}
            if tensor.skip is not None and "skip" not in chosen:
                chosen = {"skip_scale": tensor.skip_scale, **chosen, "skip": tensor.skip}
            return builder.build(source, **chosen)
        except ConvertError as error:
            if isinstance(error, AdvisedError):
                problem = error
                break
            problem = problem or error
    assert problem is not None
    try:
        return _followed(model, constants, output, exported, options, source, [*notes, *more])
    except ConvertError as error:
        if takes_windows(model, constants, *_rows(options, exported)):
            problem = error
    if not whole:
        raise problem
    why = "".join(f" The loop {name}: {text}." for name, text in loops.items())
    window = {key: options[key] for key in ("window",) if key in options}
    way = "" if isinstance(problem, AdvisedError) else way_around(
        model,
        lambda name: convert_graph(ending_at(model, name), name, window, whole=False),
    )  # fmt: skip
    made_of = _made_of(model, hint=not way)
    raise ConvertError(f"{str(problem).rstrip('.')}.{why}{way} {made_of}") from None


def _followed(
    model: Any,
    constants: Mapping[str, Any],
    output: str | None,
    exported: Mapping[str, Any],
    options: Mapping[str, Any],
    source: str,
    notes: Sequence[str],
) -> Model:
    """Return the model of a graph that is no chain, followed on labels."""
    found = follow(model, constants, output, *_rows(options, exported))
    builder = found.builder()
    builder.notes += dict.fromkeys(notes)
    chosen = {**found.options, **exported, **options}
    return builder.build(source, compared=COMPARED, **chosen)


def _rows(options: Mapping[str, Any], exported: Mapping[str, Any]) -> tuple[int | None, bool]:
    """Return how many rows a window has, if that is said, and whether the state is kept."""
    window = options.get("window", exported.get("window"))
    return window, "window" in options and window is None


def _made_of(model: Any, hint: bool) -> str:
    """Return what a graph is made of, and which layers in it could be brought by themselves."""
    kinds = Counter(node.op_type for node in model.graph.node)
    listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(8))
    more = f" and {len(kinds) - 8} other kinds" if len(kinds) > 8 else ""
    brought = [kind for kind in ("LSTM", "GRU", "RNN") if kinds[kind]]
    how = (
        f" Its {' and '.join(brought)} can be brought, if nothing but rows goes from one to the "
        "next: cut them out with onnx.utils.extract_model, and compute what stands before and "
        "behind them in your own program."
        if brought and hint
        else ""
    )
    return f"The graph is made of {listed}{more}.{how}"


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
