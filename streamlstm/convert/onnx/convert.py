"""Networks in ONNX: the way from the graph's input to its output, as a chain of layers."""

import json
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from ...errors import ConvertError
from ...network.model import Model
from ..common.weights import require
from .flow import Flow, Problem
from .graph import Graph, make_input, to_array
from .identify import emit

KEY = "streamlstm"  # of the metadata that to_onnx writes
_WRITTEN = ("inputs", "outputs", "horizon", "metadata", "initial")
_INTEGERS = (2, 3, 4, 5, 6, 7, 12, 13)  # onnx.TensorProto: uint8 ... int64, uint32, uint64


def from_onnx(source: Any, *, output: str | None = None, **options: Any) -> Model:
    """Take over a network in ONNX.

    The nodes on the way from the graph's input to its output must be a chain: LSTM, GRU and RNN,
    fully connected layers, normalisation, activations, an embedding at its start, and what moves
    axes about. A last step picked from the sequence is what a stream gives anyway. Initial states
    that are constants are kept; where they are inputs of the graph, a stream starts from zeros.

    Parameters
    ----------
    source : path, bytes or onnx.ModelProto
    output : str, optional
        Name of the graph's output to follow; the first that is not a recurrent layer's state.
    **options
        ``inputs``, ``outputs``, ``input_scaling``, ``output_scaling``, ``skip``, ``skip_scale``,
        ``horizon`` (0, no forecast, if left out) and ``metadata``, as :class:`streamlstm.Model`
        takes them.

    Returns
    -------
    Model

    Raises
    ------
    ConvertError
        If the file cannot be read, or a node on the way cannot be stepped or is not known; the
        message names the node.
    """
    model = _inline(_load(source))
    constants = {tensor.name: to_array(tensor) for tensor in model.graph.initializer}
    written = _written(model)
    initial = written.pop("initial", {})
    problem: ConvertError | None = None
    for inputs, shortened in _readings(model, constants):
        try:
            flow = _follow(Graph(model, inputs, constants, initial), output)
            _check_output(flow, shortened)
            chain = emit(flow, inputs[flow.origin].width + flow.beside)
            chosen = {**written, **options}
            if flow.skip is not None and "skip" not in chosen:
                chosen = {"skip_scale": flow.skip_scale, **chosen, "skip": flow.skip}
            return chain.build("ONNX", **chosen)
        except ConvertError as error:
            problem = problem or error
    assert problem is not None
    raise problem


def _load(source: Any) -> Any:
    """Return a ModelProto from whatever was given."""
    onnx = require("onnx", "read ONNX files")
    if isinstance(source, onnx.ModelProto):
        return source
    if not isinstance(source, bytes | bytearray | str | PathLike):
        raise ConvertError(
            f"from_onnx: expected a path, bytes or an onnx.ModelProto, got {type(source).__name__}."
        )
    where = "the bytes"
    try:
        if isinstance(source, bytes | bytearray):
            model = onnx.load_model_from_string(bytes(source))
        else:
            path = Path(fspath(source))
            where = str(path)
            if not path.is_file():
                raise ConvertError(f"{path}: there is no such file.")
            model = onnx.load(path)
    except ConvertError:
        raise
    except Exception as error:  # protobuf's and onnx's own, by the place that is broken
        raise ConvertError(f"{where}: cannot be read as ONNX: {error}.") from None
    if not model.graph.node or not model.graph.output:
        raise ConvertError(f"{where}: expected an ONNX graph with nodes and outputs, found none.")
    return model


def _inline(model: Any) -> Any:
    """Put functions in the place of their calls, but for the layers that to_onnx wrote."""
    others = [f for f in model.functions if f.domain != KEY]
    if not others:
        return model
    from onnx import inliner

    names = [(f.domain, f.name) for f in others]
    return inliner.inline_selected_functions(model, names)


def _readings(model: Any, constants: Mapping[str, Any]) -> Iterator[tuple[dict[str, Flow], bool]]:
    """Yield what the graph's inputs may be, the likeliest first.

    Axes of open length get a prime number for a length. Some exporters leave the batch open and
    write 1 into the shapes behind it, so each open axis is also tried with length 1; that is the
    second value.
    """
    given = [value for value in model.graph.input if value.name not in constants]
    if not given:
        raise ConvertError("the graph has no inputs.")
    integers = {v.name: v.type.tensor_type.elem_type in _INTEGERS for v in given}
    primes, width = _free_primes(constants), _recurrent_width(model, constants)
    for short in (None, 0, 1):
        sizes = _sizes(given, primes, width, short)
        if short is not None and sizes == _sizes(given, primes, width, None):
            continue
        places: list[int | None] = [-1, None, *range(max(map(len, sizes.values())) - 1)]
        if integers[given[0].name]:
            places = [None, *places]
        for place in dict.fromkeys(places):
            # Numbers beside categories have an axis of features, also where categories have none.
            last = -1 if place is None and any(integers.values()) else place
            yield (
                {
                    name: make_input(
                        name,
                        size,
                        _fitting(place if integers[name] else last, size),
                        integers[name],
                    )
                    for name, size in sizes.items()
                },
                short is not None,
            )


def _fitting(place: int | None, sizes: Sequence[int]) -> int | None:
    """Return the place of the features in an input with these axes."""
    return place if place is None or place < len(sizes) else -1


def _sizes(
    given: Sequence[Any], primes: Sequence[int], width: int, short: int | None
) -> dict[str, list[int]]:
    """Return the sizes of each input's axes; open ones are primes, one for each name.

    ``short`` is the number of the open axis that is 1 long.
    """
    left = iter(primes)
    named: dict[str, int] = {}
    sizes = {}
    for value in given:
        tensor = value.type.tensor_type
        dims = list(tensor.shape.dim) if tensor.HasField("shape") else [None] * 3
        found = []
        for n, dim in enumerate(dims):
            if dim is not None and dim.HasField("dim_value") and dim.dim_value > 0:
                found.append(dim.dim_value)
            elif n == len(dims) - 1 and n > 1 and width:
                found.append(width)
            else:
                name = (dim is not None and dim.dim_param) or f"{value.name} {n}"
                if name not in named:
                    named[name] = 1 if len(named) == short else next(left)
                found.append(named[name])
        sizes[value.name] = found or [1]
    return sizes


def _recurrent_width(model: Any, constants: Mapping[str, Any]) -> int:
    """Return how many features the first recurrent layer takes, for inputs that leave it open."""
    for node in model.graph.node:
        if node.op_type in ("LSTM", "GRU", "RNN") and len(node.input) > 1:
            shape: tuple[int, ...] = getattr(constants.get(node.input[1]), "shape", ())
            return shape[-1] if len(shape) == 3 else 0
    return 0


def _free_primes(constants: Mapping[str, Any]) -> list[int]:
    """Return primes that divide no size in the file, so that an axis is known by its length."""
    taken = {size for array in constants.values() for size in array.shape}
    primes = [p for p in range(29, 2000) if all(p % n for n in range(2, int(p**0.5) + 1))]
    return [p for p in primes if all(size % p for size in taken if size)]


def _follow(graph: Graph, output: str | None) -> Flow:
    """Return what reaches the graph's output."""
    names = graph.outputs
    if output is not None and output not in names:
        raise ConvertError(f"the graph has no output {output!r}; it has {', '.join(names)}.")
    found = [graph.values.get(name) for name in ([output] if output else names)]
    values = [v for v in found if not (isinstance(v, Flow | Problem) and v.state)] or found
    value = values[0]
    if isinstance(value, Problem):
        raise value.error
    if not isinstance(value, Flow):
        raise ConvertError(f"the output {output or names[0]!r} does not depend on the input.")
    return value


def _check_output(flow: Flow, shortened: bool) -> None:
    """Refuse an output that mixes steps with features, or that needs a sequence of one step."""
    if shortened and flow.time is None:
        raise ConvertError("the graph runs with sequences of one length only.")
    alone = [n for n in range(len(flow.axes)) if flow.is_features(n)]
    if flow.feature is not None and not alone:
        raise ConvertError(
            "the output flattens features together with steps or streams, which cannot be stepped."
        )


def _written(model: Any) -> dict[str, Any]:
    """Return the names, the horizon and the initial states that to_onnx wrote, if it did."""
    for entry in model.metadata_props:
        if entry.key == KEY:
            try:
                found = json.loads(entry.value)
                return {key: found[key] for key in _WRITTEN}
            except (ValueError, KeyError, TypeError):
                return {}
    return {}
