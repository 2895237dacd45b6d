"""``streamlstm convert``: a network of another framework in, a model file out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Exit, Option

if TYPE_CHECKING:
    from streamlstm.network.layers import Layer
    from streamlstm.network.model import Model

TOLERANCE = 1e-4  # above it two computations are no longer those of one network
STEPS = 200
# What a person adds to a network; the file's own software knows nothing of it.
_ADDED = ("skip", "skip_scale", "input_scaling", "output_scaling")
_TORCH = "State dicts of PyTorch, which hold names and shapes only"
_ONNX = "ONNX"
_MODEL = "The model, whatever it comes from"
_NAMES = {
    "keras": "Keras",
    "torch": "PyTorch",
    "onnx": "ONNX",
    "rtneural": "RTNeural or AIDA-X",
    "guitarml": "GuitarML",
    "streamlstm": "streamlstm",
}


def convert(
    file: Annotated[
        Path, Argument(help="A network of Keras, PyTorch, ONNX, RTNeural, AIDA-X or GuitarML.")
    ],
    out: Annotated[Path | None, Option(help="The model file to write; none if left out.")] = None,
    check: Annotated[
        bool, Option("--check", help="Run both sides on random input and compare them.")
    ] = False,
    seed: Annotated[int, Option(help="Of the random input.")] = 0,
    activation: Annotated[
        list[str] | None,
        Option(
            metavar="LAYER=NAME",
            help="An activation that forward applies behind a layer, such as head.0=relu; linear "
            "for none. May be repeated.",
            rich_help_panel=_TORCH,
        ),
    ] = None,
    rnn_activation: Annotated[
        str | None,
        Option(help="That of nn.RNN, tanh or relu; tanh if left out.", rich_help_panel=_TORCH),
    ] = None,
    epsilon: Annotated[
        float | None,
        Option(help="That of BatchNorm1d and LayerNorm; 1e-5 if left out.", rich_help_panel=_TORCH),
    ] = None,
    output: Annotated[
        str | None,
        Option(
            help="The graph's output to follow; the first that is no state if left out.",
            rich_help_panel=_ONNX,
        ),
    ] = None,
    inputs: Annotated[
        str | None,
        Option(
            metavar="A,B,...",
            help="Names of the inputs; if left out the file's, or x0,x1,...",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    outputs: Annotated[
        str | None,
        Option(
            metavar="A,B,...",
            help="Names of the outputs; if left out the file's, or y0,y1,...",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    horizon: Annotated[
        int | None,
        Option(
            min=0,
            help="How many steps ahead a prediction speaks of; 0 if it is no forecast.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    skip: Annotated[
        str | None,
        Option(
            metavar="A,B,...",
            help="For each output the input that is added to it: its number from 0, its name out "
            "of --inputs, or - for none.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    skip_scale: Annotated[
        str | None,
        Option(
            metavar="N,N,...",
            help="What those inputs are multiplied by; 1 if left out.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    input_mean: Annotated[
        str | None,
        Option(
            metavar="N,N,...",
            help="What was subtracted from each input before the network saw it.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    input_scale: Annotated[
        str | None,
        Option(
            metavar="N,N,...", help="What each input was then divided by.", rich_help_panel=_MODEL
        ),
    ] = None,
    output_mean: Annotated[
        str | None,
        Option(
            metavar="N,N,...",
            help="What is added to each output after it was multiplied.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    output_scale: Annotated[
        str | None,
        Option(
            metavar="N,N,...", help="What each output is multiplied by.", rich_help_panel=_MODEL
        ),
    ] = None,
    metadata: Annotated[
        list[str] | None,
        Option(
            metavar="NAME=TEXT",
            help="Something worth keeping about where it came from. May be repeated.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
) -> None:
    """Take over a network that was trained elsewhere, and show its layers.

    What wrote the file is found out from its content. With --check the exit status is 1 if the
    two sides differ by more than 1e-4. What only one kind of file leaves open stands under that
    kind; elsewhere it is refused.

    \b
    Example:
      streamlstm convert model.keras --out model.safetensors
      streamlstm convert model.onnx --check
      streamlstm convert model.pt --activation head.0=relu --inputs load,heat --outputs load
    """  # noqa: D301 - \b keeps the lines of the example apart
    from streamlstm.convert.detect import detect, load_any

    from . import convert_options as read
    from .output_path import check_output

    if out is not None:
        check_output("--out", out, network=file)
    named = None if inputs is None else read.names(inputs)
    told: dict[str, Any] = {
        "activations": activation and read.pairs("--activation", activation),
        "rnn_activation": rnn_activation,
        "epsilon": epsilon,
        "output": output,
        "inputs": named,
        "outputs": None if outputs is None else read.names(outputs),
        "horizon": horizon,
        "skip": None if skip is None else read.skips(skip, named),
        "skip_scale": None if skip_scale is None else read.numbers("--skip-scale", skip_scale),
        "input_scaling": read.scaling("input", input_mean, input_scale),
        "output_scaling": read.scaling("output", output_mean, output_scale),
        "metadata": metadata and read.pairs("--metadata", metadata),
    }
    told = {keyword: value for keyword, value in told.items() if value is not None}
    kind = detect(file)
    read.check_applies(file, kind, told)
    model = load_any(file, **told)
    _show(file, kind, model)
    agrees = not check or _check(file, kind, model, told, seed)
    if out is not None and agrees:
        model.save(out)
        print(f"written to {out}")
    if not agrees:
        raise Exit(1)


def _show(file: Path, kind: str, model: Model) -> None:
    """Print what was found: a row for each layer."""
    from rich.table import Table

    from .console import console

    print(f"{file}: {model.metadata.get('source', _NAMES[kind])}")
    table = Table("", "layer", "in", "out", "options", "parameters")
    for n, layer in enumerate(model.layers):
        count = sum(array.size for array in model.weights[n].values())
        sizes = (str(layer.input_size), str(layer.output_size))
        name = type(layer).__name__
        table.add_row(str(n), name, *sizes, _options(layer), f"{count:,}")
    console.print(table)
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
    """Return what of a layer differs from its defaults, sizes left out."""
    from dataclasses import fields

    sizes = ("input_size", "output_size", "hidden_size")
    pairs = ((field, getattr(layer, field.name)) for field in fields(layer))
    return ", ".join(f"{f.name}={v}" for f, v in pairs if f.name not in sizes and v != f.default)


def _check(file: Path, kind: str, model: Model, told: dict[str, Any], seed: int) -> bool:
    """Compare both sides on random input; print and judge the largest difference."""
    import numpy as np

    from streamlstm import Engine
    from streamlstm.convert.compare import TOLD, answers
    from streamlstm.convert.detect import load_any
    from streamlstm.errors import ConvertError

    from .convert_options import OPTIONS

    if kind == "streamlstm":
        raise ConvertError(f"{file}: is a model file already; there is no other side.")
    added = [key for key in _ADDED if key in told]
    if added:
        model = load_any(file, **{key: told[key] for key in told if key not in added})
    rng = np.random.default_rng(seed)
    X = model.input_scaling.invert(rng.standard_normal((STEPS, model.input_size)))
    if model.categories:
        X[:, 0] = rng.integers(0, model.categories, STEPS)
    X = X.astype(np.float32)
    open_ = {key: value for key, value in told.items() if key in TOLD}
    theirs = answers(file, kind, X.astype(np.float64), model.output_size, **open_)
    engine = Engine(model, 1)
    ours = np.stack([engine.step("check", x) for x in X])[-len(theirs.values) :]
    difference = float(np.max(np.abs(ours - theirs.values)))
    agrees = difference <= TOLERANCE  # a NaN does not agree
    verdict = "" if agrees else f", more than {TOLERANCE:g}"
    print(f"largest difference over {len(ours)} steps: {difference:.2e} ({theirs.by}){verdict}")
    if added:
        left = ", ".join(OPTIONS[key] for key in added)
        print(f"compared without {left}, of which the file knows nothing")
    return agrees
