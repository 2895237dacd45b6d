"""``streamlstm convert``: converts a network of another framework to a model file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Exit, Option

if TYPE_CHECKING:
    from streamlstm.convert.comparison import Comparison
    from streamlstm.network.model import Model

_TORCH = "PyTorch state dicts, which hold names and shapes only"
_ONNX = "Graphs of ONNX and TensorFlow"
_MODEL = "All formats"


def convert(
    file: Annotated[
        Path,
        Argument(
            help="A network of Keras, PyTorch, ONNX, TensorFlow, RTNeural, AIDA-X, GuitarML or NAM."
        ),
    ],
    out: Annotated[Path | None, Option(help="The model file to write; none by default.")] = None,
    check: Annotated[
        bool, Option("--check", help="Run both networks on the same input and compare them.")
    ] = False,
    seed: Annotated[int, Option(help="Seed of the random input.")] = 0,
    data: Annotated[
        Path | None,
        Option(help="A table with columns named as the inputs, for --check; else random numbers."),
    ] = None,
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
    bidirectional: Annotated[
        str | None,
        Option(
            metavar="last|ends",
            help="What the head takes of a bidirectional layer: its outputs at the last row, or "
            "the last states of both directions.",
            rich_help_panel=_TORCH,
        ),
    ] = None,
    module: Annotated[
        str | None,
        Option(
            metavar="PACKAGE.FILE:CLASS",
            help="Your class of the network, such as my_package.my_file:MyNet. It is imported, "
            "which runs its code, loaded with the weights, and converted as its forward is.",
            rich_help_panel=_TORCH,
        ),
    ] = None,
    args: Annotated[
        str | None,
        Option(
            metavar="JSON",
            help="Arguments of that class, such as '{\"hidden\": 64}'.",
            rich_help_panel=_TORCH,
        ),
    ] = None,
    output: Annotated[
        str | None,
        Option(
            help="Output of the graph, or of a PyTorch module by number or key, to convert; by "
            "default the first that is not a state.",
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
    input_scaling: Annotated[
        Path | None,
        Option(
            metavar="JSON",
            help="The scaler of the inputs: mean and scale, min and max, or what vars() of one of "
            "scikit-learn's gives.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    output_scaling: Annotated[
        Path | None,
        Option(metavar="JSON", help="The scaler of the outputs.", rich_help_panel=_MODEL),
    ] = None,
    unsafe_pickle: Annotated[
        bool,
        Option(
            "--unsafe-pickle",
            help="Load scalers that are pickles (joblib), which runs the code in them.",
            rich_help_panel=_MODEL,
        ),
    ] = False,
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
    two networks differ by more than float32 explains. Options of one format are refused with other
    formats.

    \b
    Example:
      streamlstm convert model.keras --out model.safetensors
      streamlstm convert model.onnx --check
      streamlstm convert weights.pt --module my_package.my_file:MyNet --args '{"hidden": 64}'
      streamlstm convert model.pt --activation head.0=relu --inputs load,heat --outputs load
    """  # noqa: D301 - \b keeps the lines of the example apart
    from streamlstm.convert.detect import detect
    from streamlstm.convert.formats import FORMATS
    from streamlstm.convert.load import load_any
    from streamlstm.errors import ConvertError

    from ..model_table import print_model
    from ..output_path import check_output
    from . import options as parse

    if out is not None:
        check_output("--out", out, network=file)
    input_names = None if inputs is None else parse.names(inputs)
    keywords: dict[str, Any] = {
        "activations": activation and parse.pairs("--activation", activation),
        "rnn_activation": rnn_activation,
        "epsilon": epsilon,
        "bidirectional": bidirectional,
        "output": output,
        "inputs": input_names,
        "outputs": None if outputs is None else parse.names(outputs),
        "horizon": horizon,
        "start": start,
        "skip": None if skip is None else parse.skips(skip, input_names),
        "skip_scale": None if skip_scale is None else parse.numbers("--skip-scale", skip_scale),
        "input_scaling": parse.scaling(
            "input", input_mean, input_scale, input_scaling, unsafe_pickle
        ),
        "output_scaling": parse.scaling(
            "output", output_mean, output_scale, output_scaling, unsafe_pickle
        ),
        "metadata": metadata and parse.pairs("--metadata", metadata),
    }
    keywords = {keyword: value for keyword, value in keywords.items() if value is not None}
    keywords |= parse.window(window, stateful)
    kind = detect(file)
    if module is not None or args is not None:
        keywords["module"] = None
    parse.check_applies(file, kind, keywords)
    if "module" in keywords:
        keywords["module"] = parse.module(module, args)
    model = load_any(file, **keywords)
    print(f"{file}: {model.metadata.get('source', FORMATS[kind].title)}")
    print_model(model.with_metadata(compared="") if check else model)  # the check says it itself
    if data is not None and not check:
        raise ConvertError("--data: holds the inputs of --check: add --check")
    found = _check(file, model, keywords, seed, data) if check else None
    agrees = found is None or found.agrees
    if out is not None and agrees:
        if found is not None:
            model = model.with_metadata(compared=found.summary())
        model.save(out)
        print(f"written to {out}")
    if not agrees:
        raise Exit(1)


def _check(
    file: Path, model: Model, keywords: dict[str, Any], seed: int, data: Path | None
) -> Comparison:
    """Compare both networks; print the largest difference and what was compared."""
    from streamlstm.convert.compare import compare

    from .options import OPTIONS

    found = compare(model, file, data=data, seed=seed, **keywords)
    print(found)
    if found.left_out:
        left_out = ", ".join(OPTIONS[key] for key in found.left_out)
        print(f"compared without {left_out}, which are not in the file")
    return found
