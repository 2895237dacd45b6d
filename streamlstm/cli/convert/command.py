"""``streamlstm convert``: converts a network of another framework to a model file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Exit, Option

if TYPE_CHECKING:
    from streamlstm.network.layers import Layer
    from streamlstm.network.model import Model

TOLERANCE = 1e-4  # a larger difference means that the networks differ
STEPS = 200
WINDOWS = 10  # each of which is a run of the source network
# Options that add something to a network, which the source framework does not compute.
_ADDED = ("skip", "skip_scale", "input_scaling", "output_scaling")
_TORCH = "PyTorch state dicts, which hold names and shapes only"
_ONNX = "ONNX"
_MODEL = "All formats"


def convert(
    file: Annotated[
        Path, Argument(help="A network of Keras, PyTorch, ONNX, RTNeural, AIDA-X or GuitarML.")
    ],
    out: Annotated[Path | None, Option(help="The model file to write; none by default.")] = None,
    check: Annotated[
        bool, Option("--check", help="Run both networks on random input and compare them.")
    ] = False,
    seed: Annotated[int, Option(help="Seed of the random input.")] = 0,
    activation: Annotated[
        list[str] | None,
        Option(
            metavar="LAYER=NAME",
            help="Activation that forward() applies after a layer, such as head.0=relu; linear "
            "for none. May be repeated.",
            rich_help_panel=_TORCH,
        ),
    ] = None,
    rnn_activation: Annotated[
        str | None,
        Option(help="Activation of nn.RNN: tanh (default) or relu.", rich_help_panel=_TORCH),
    ] = None,
    epsilon: Annotated[
        float | None,
        Option(
            help="Epsilon of BatchNorm1d and LayerNorm; 1e-5 by default.", rich_help_panel=_TORCH
        ),
    ] = None,
    output: Annotated[
        str | None,
        Option(
            help="Output of the graph to convert; by default the first that is not a state.",
            rich_help_panel=_ONNX,
        ),
    ] = None,
    inputs: Annotated[
        str | None,
        Option(
            metavar="A,B,...",
            help="Names of the inputs; by default those of the file, or x0,x1,...",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    outputs: Annotated[
        str | None,
        Option(
            metavar="A,B,...",
            help="Names of the outputs; by default those of the file, or y0,y1,...",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    horizon: Annotated[
        int | None,
        Option(
            min=0,
            help="Steps ahead of a forecast; 0 if the output is not a forecast.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    window: Annotated[
        int | None,
        Option(
            min=1,
            metavar="T",
            help="Run the network over the last T rows at each step, as one that was trained on "
            "windows of T rows; by default if the file fixes T.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    stateful: Annotated[
        bool,
        Option(
            "--stateful",
            help="Keep the state from step to step, also if the file fixes the rows of a window.",
            rich_help_panel=_MODEL,
        ),
    ] = False,
    start: Annotated[
        str | None,
        Option(
            help="Before T rows have come: answer from those that have (the default), wait (NaN), "
            "or pad on the left with zeros (of the scaled inputs) or the first row.",
            metavar="answer|wait|zeros|first",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    skip: Annotated[
        str | None,
        Option(
            metavar="A,B,...",
            help="For each output the input that is added to it: its number from 0, its name in "
            "--inputs, or - for none.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    skip_scale: Annotated[
        str | None,
        Option(
            metavar="N,N,...",
            help="Factors of those inputs; 1 by default.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    input_mean: Annotated[
        str | None,
        Option(
            metavar="N,N,...",
            help="Mean of each input, subtracted before the network.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    input_scale: Annotated[
        str | None,
        Option(
            metavar="N,N,...",
            help="Scale of each input, divided by after the mean is subtracted.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    output_mean: Annotated[
        str | None,
        Option(
            metavar="N,N,...",
            help="Mean of each output, added after the multiplication by its scale.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    output_scale: Annotated[
        str | None,
        Option(
            metavar="N,N,...", help="Scale of each output, multiplied by.", rich_help_panel=_MODEL
        ),
    ] = None,
    metadata: Annotated[
        list[str] | None,
        Option(
            metavar="NAME=TEXT",
            help="Metadata for the model file, such as its origin. May be repeated.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
) -> None:
    """Convert a network that was trained elsewhere, and show its layers.

    The format is detected from the content of the file. With --check the exit status is 1 if the
    two networks differ by more than 1e-4. Options of one format are refused with other formats.

    \b
    Example:
      streamlstm convert model.keras --out model.safetensors
      streamlstm convert model.onnx --check
      streamlstm convert model.pt --activation head.0=relu --inputs load,heat --outputs load
    """  # noqa: D301 - \b keeps the lines of the example apart
    from streamlstm.convert.detect import detect
    from streamlstm.convert.load import load_any

    from ..output_path import check_output
    from . import options as parse

    if out is not None:
        check_output("--out", out, network=file)
    input_names = None if inputs is None else parse.names(inputs)
    keywords: dict[str, Any] = {
        "activations": activation and parse.pairs("--activation", activation),
        "rnn_activation": rnn_activation,
        "epsilon": epsilon,
        "output": output,
        "inputs": input_names,
        "outputs": None if outputs is None else parse.names(outputs),
        "horizon": horizon,
        "start": start,
        "skip": None if skip is None else parse.skips(skip, input_names),
        "skip_scale": None if skip_scale is None else parse.numbers("--skip-scale", skip_scale),
        "input_scaling": parse.scaling("input", input_mean, input_scale),
        "output_scaling": parse.scaling("output", output_mean, output_scale),
        "metadata": metadata and parse.pairs("--metadata", metadata),
    }
    keywords = {keyword: value for keyword, value in keywords.items() if value is not None}
    keywords |= parse.window(window, stateful)
    kind = detect(file)
    parse.check_applies(file, kind, keywords)
    model = load_any(file, **keywords)
    _show(file, kind, model)
    agrees = not check or _check(file, kind, model, keywords, seed)
    if out is not None and agrees:
        model.save(out)
        print(f"written to {out}")
    if not agrees:
        raise Exit(1)


def _show(file: Path, kind: str, model: Model) -> None:
    """Print the layers as a table, then scaling and skip connections."""
    from rich.table import Table

    from streamlstm.convert.formats import FORMATS
    from streamlstm.network.window import describe_window

    from ..console import console

    print(f"{file}: {model.metadata.get('source', FORMATS[kind].title)}")
    table = Table("", "layer", "in", "out", "options", "parameters")
    for n, layer in enumerate(model.layers):
        count = sum(array.size for array in model.weights[n].values())
        sizes = (str(layer.input_size), str(layer.output_size))
        name = type(layer).__name__
        table.add_row(str(n), name, *sizes, _options(layer), f"{count:,}")
    console.print(table)
    if model.window is not None:
        print(describe_window(model.window, model.start))
    for side, scaling in (("input", model.input_scaling), ("output", model.output_scaling)):
        if scaling.mean.any() or (scaling.scale != 1).any():
            print(f"{side}s are scaled")
    if model.skip is not None:
        triples = zip(model.outputs, model.skip, model.skip_factors.tolist(), strict=True)
        added = ", ".join(
            f"{'' if factor == 1 else f'{factor:.6g} '}{model.inputs[i]} to {name}"
            for name, i, factor in triples
            if i >= 0
        )
        print(f"inputs are added to outputs: {added}")
    if model.metadata.get("notes"):
        print(f"note: {model.metadata['notes']}")


def _options(layer: Layer) -> str:
    """Return the options of a layer that differ from their defaults, without sizes."""
    from dataclasses import fields

    sizes = ("input_size", "output_size", "hidden_size")
    pairs = ((field, getattr(layer, field.name)) for field in fields(layer))
    return ", ".join(f"{f.name}={v}" for f, v in pairs if f.name not in sizes and v != f.default)


def _check(file: Path, kind: str, model: Model, keywords: dict[str, Any], seed: int) -> bool:
    """Compare both networks on random input; print the largest difference and judge it."""
    import numpy as np

    from streamlstm import Engine
    from streamlstm.convert.formats import MODEL_OPTIONS
    from streamlstm.convert.load import load_any
    from streamlstm.convert.reference_outputs import ReferenceOutputs, reference_outputs
    from streamlstm.errors import ConvertError

    from .options import OPTIONS

    if kind == "streamlstm":
        raise ConvertError(f"{file}: is already a model file; there is nothing to compare with.")
    added = [key for key in _ADDED if key in keywords]
    if added:
        model = load_any(file, **{key: keywords[key] for key in keywords if key not in added})
    rng = np.random.default_rng(seed)
    steps = STEPS if model.window is None else model.window + WINDOWS - 1
    X = model.input_scaling.invert(rng.standard_normal((steps, model.input_size)))
    if model.categories:
        X[:, 0] = rng.integers(0, model.categories, steps)
    X = X.astype(np.float32)
    missing = {key: value for key, value in keywords.items() if key not in MODEL_OPTIONS}

    def compute(rows: Any) -> ReferenceOutputs:
        return reference_outputs(file, kind, rows.astype(np.float64), model.output_size, **missing)

    if model.window is None:
        theirs = compute(X)
        expected = theirs.values
    else:
        given = [compute(X[n : n + model.window]) for n in range(WINDOWS)]
        theirs, expected = given[0], np.stack([found.values[-1] for found in given])
    engine = Engine(model, 1)
    ours = np.stack([engine.step("check", x) for x in X])[-len(expected) :]
    difference = float(np.max(np.abs(ours - expected)))
    agrees = difference <= TOLERANCE  # a NaN does not agree
    verdict = "" if agrees else f", more than {TOLERANCE:g}"
    what = "steps" if model.window is None else f"windows of {model.window} rows"
    print(
        f"largest difference over {len(ours)} {what}: {difference:.2e} ({theirs.source}){verdict}"
    )
    if added:
        left_out = ", ".join(OPTIONS[key] for key in added)
        print(f"compared without {left_out}, which are not in the file")
    return agrees
