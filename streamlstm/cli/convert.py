"""``streamlstm convert``: a network of another framework in, a model file out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Exit, Option

if TYPE_CHECKING:
    from streamlstm.layers import Layer
    from streamlstm.model import Model

TOLERANCE = 1e-4  # above it two computations are no longer those of one network
STEPS = 200
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
) -> None:
    """Take over a network that was trained elsewhere, and show its layers.

    What wrote the file is found out from its content. With --check the exit status is 1 if the
    two sides differ by more than 1e-4.

    \b
    Example:
      streamlstm convert model.keras --out model.safetensors
      streamlstm convert model.onnx --check
    """  # noqa: D301 - \b keeps the lines of the example apart
    from streamlstm.convert.detect import detect, load_any

    kind = detect(file)
    model = load_any(file)
    _show(file, kind, model)
    agrees = not check or _check(file, kind, model, seed)
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


def _check(file: Path, kind: str, model: Model, seed: int) -> bool:
    """Compare both sides on random input; print and judge the largest difference."""
    import numpy as np

    from streamlstm import Engine
    from streamlstm.convert.verify import answers
    from streamlstm.errors import ConvertError

    if kind == "streamlstm":
        raise ConvertError(f"{file}: is a model file already; there is no other side.")
    rng = np.random.default_rng(seed)
    X = model.input_scaling.invert(rng.standard_normal((STEPS, model.input_size)))
    if model.categories:
        X[:, 0] = rng.integers(0, model.categories, STEPS)
    X = X.astype(np.float32)
    theirs = answers(file, kind, X.astype(np.float64), model.output_size)
    engine = Engine(model, 1)
    ours = np.stack([engine.step("check", x) for x in X])[-len(theirs.values) :]
    difference = float(np.max(np.abs(ours - theirs.values)))
    agrees = difference <= TOLERANCE  # a NaN does not agree
    verdict = "" if agrees else f", more than {TOLERANCE:g}"
    print(f"largest difference over {len(ours)} steps: {difference:.2e} ({theirs.by}){verdict}")
    return agrees
