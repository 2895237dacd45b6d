"""Conversion of ONNX graphs: the chain of layers from the graph's input to its output."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from os import PathLike
from typing import Any

from ...errors import ConvertError
from ...network.model import Model
from ..common.beside import notes_on_texts
from ..common.builder import ModelBuilder
from ..common.error_context import AdvisedError, refusals
from .chain import candidates, read_chain
from .confirm_loops import confirm_loops, has_loops
from .file import exported_metadata, inline_functions, load_model, own_metadata, to_array
from .following.importer import follow, takes_windows
from .loops import replace_loops
from .parts import ending_at, way_around


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
    confirm: Callable[[Model], str] | None = None,
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
    confirm : callable, optional
        Returns what a model without scaling was compared with, where loops were read as layers.

    Raises
    ------
    ConvertError
        If a node between input and output is not supported.
    """
    original = inline_functions(model)
    model, loops = replace_loops(original)
    constants = {tensor.name: to_array(tensor) for tensor in model.graph.initializer}
    exported = exported_metadata(model)
    if options.get("window", 0) is None:
        exported.pop("start", None)
    initial = exported.pop("initial", {})
    more = notes_on_texts(own_metadata(model), options, "The file's metadata")
    window = options.get("window", exported.get("window"))
    rows = window if isinstance(window, int) and not isinstance(window, bool) else None
    stateful = "window" in options and window is None
    check = confirm
    if check is None and has_loops(original) and not has_loops(model):
        check = partial(confirm_loops, original)
    plain = {key: options[key] for key in ("window",) if key in options}

    def compared(*chain: Any) -> str:
        if check is None:
            return ""
        builder, found = read_chain(model, constants, initial, output, *chain)
        return check(builder.build(source, **found, **plain))

    def build(builder: ModelBuilder, found: Mapping[str, Any], compared: str = "") -> Model:
        builder.notes = list(dict.fromkeys([*notes, *builder.notes, *more]))
        given = {**exported, **options}
        own = {} if "skip" in given else found
        return builder.build(source, compared=compared, **own, **given)

    problem: ConvertError | None = None
    for usual, group in zip((True, False), candidates(model, constants, rows), strict=True):
        for candidate in group:
            try:
                chain = read_chain(model, constants, initial, output, candidate)
                return build(*chain, compared(candidate))
            except ConvertError as error:
                if isinstance(error, AdvisedError) and not isinstance(problem, AdvisedError):
                    problem = error
                problem = problem or error
        try:
            found = follow((model, original), constants, output, rows, stateful, usual=usual)
            told = found.compared
            if confirm is not None:  # what was followed is not the source itself
                told = confirm(found.builder().build(source, **found.options, **plain))
            return build(found.builder(), found.options, told)
        except ConvertError as error:
            if problem is None or (usual and takes_windows(model, constants, rows, stateful)):
                problem = error
    assert problem is not None
    if not whole:
        raise problem
    why = "".join(f" The loop {name}: {text}." for name, text in loops.items())
    way = "" if isinstance(problem, AdvisedError) else way_around(
        model,
        lambda name: convert_graph(ending_at(model, name), name, plain, whole=False),
    )  # fmt: skip
    made_of = _made_of(model, hint=not way)
    raise ConvertError(f"{str(problem).rstrip('.')}.{why}{way} {made_of}") from None


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
