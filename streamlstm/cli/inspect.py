"""``streamlstm inspect``: shows what the file of a network holds, and what a step of it costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

if TYPE_CHECKING:
    from streamlstm.network.model import Model

_STEPS, _ROUNDS = 500, 7


def inspect(
    file: Annotated[
        Path,
        Argument(
            help="A model file, or a network of Keras, PyTorch, ONNX, TensorFlow, RTNeural, "
            "AIDA-X, GuitarML or NAM."
        ),
    ],
    cost: Annotated[
        bool, Option("--cost/--no-cost", help="Measure what a step costs on this machine.")
    ] = True,
    json: Annotated[bool, Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the layers, inputs, outputs, scaling and online stage of a network.

    The format is detected from the content of the file.

    \b
    Example:
      streamlstm inspect model.safetensors
      streamlstm inspect network.onnx --json
    """  # noqa: D301 - \b keeps the lines of the example apart
    from json import dumps

    from streamlstm.convert.detect import detect
    from streamlstm.convert.load import load_any

    from .model_table import print_model

    kind = detect(file)
    model = load_any(file)
    shown = describe(model, kind) | {"file": str(file)}
    if json:
        print(dumps(shown | {"step": measure(model)} if cost else shown))
        return
    print(f"{file}: {shown['title']}, fingerprint {shown['fingerprint']}")
    print_model(model)
    _print_columns(shown)
    print(*_lines(model, shown), sep="\n", flush=True)
    if cost:  # last: it may have to compile kernels first
        step = measure(model)
        print(
            f"a step of one stream here: {step['in_compiled_code_us']} us in compiled code, "
            f"{step['from_python_us']} us called from Python ({step['backend']})"
        )


def describe(model: Model, kind: str) -> dict[str, Any]:
    """Return what a model is, in plain values.

    Parameters
    ----------
    model : Model
    kind : str
        The format of its file, from :func:`streamlstm.convert.detect.detect`.
    """
    from streamlstm.backends.plan import initial_row
    from streamlstm.convert.formats import FORMATS

    from .model_table import own_options

    layers = [
        {
            "kind": type(layer).__name__,
            "inputs": layer.input_size,
            "outputs": layer.output_size,
            "options": own_options(layer),
            "weights": {name: list(array.shape) for name, array in arrays.items()},
            "parameters": sum(array.size for array in arrays.values()),
        }
        for layer, arrays in zip(model.layers, model.weights, strict=True)
    ]
    remembers = any(layer.state for layer in model.layers)
    return {
        "format": kind,
        "title": model.metadata.get("source", FORMATS[kind].title),
        "fingerprint": model.fingerprint,
        "memory": "window" if model.window else "stateful" if remembers else "none",
        "window": model.window,
        "start": model.start if model.window else None,
        "inputs": _inputs(model),
        "outputs": _outputs(model),
        "layers": layers,
        "parameters": sum(layer["parameters"] for layer in layers),
        "online": None if model.online is None else model.online.options(),
        "state_bytes": int(initial_row(model).nbytes),
        "metadata": dict(model.metadata),
    }


def _inputs(model: Model) -> list[dict[str, Any]]:
    """Return name, scaling and offset of each input."""
    rows = zip(model.inputs, model.input_scaling.mean, model.input_scaling.scale, strict=True)
    offsets = model.input_offsets
    return [
        {
            "name": name,
            "mean": float(mean),
            "scale": float(scale),
            "offset": 0.0 if offsets is None else float(offsets[n]),
            "category_of": model.categories if n == 0 and model.categories else None,
        }
        for n, (name, mean, scale) in enumerate(rows)
    ]


def _outputs(model: Model) -> list[dict[str, Any]]:
    """Return name, horizon, scaling and added input of each output."""
    rows = zip(model.outputs, model.output_scaling.mean, model.output_scaling.scale, strict=True)
    skip, offsets = model.skip, model.output_offsets
    return [
        {
            "name": name,
            "horizon": model.horizons[n],
            "mean": float(mean),
            "scale": float(scale),
            "offset": 0.0 if offsets is None else float(offsets[n]),
            "added": model.inputs[skip[n]] if skip is not None and skip[n] >= 0 else None,
        }
        for n, (name, mean, scale) in enumerate(rows)
    ]


def measure(model: Model) -> dict[str, Any]:
    """Return what a step of one stream costs on this machine, in microseconds.

    The median of some rounds, of single steps called from Python and of a run in compiled code.
    """
    from statistics import median
    from time import perf_counter

    import numpy as np

    from streamlstm import Engine
    from streamlstm.backends.warmup import compile_for

    compile_for(model)
    engine = Engine(model, 2)
    rng = np.random.default_rng(0)
    dtype = np.float32 if model.input_offsets is None else np.float64
    X: Any = model.input_scaling.invert(rng.standard_normal((_STEPS, model.input_size)))
    X = X.astype(dtype)
    if model.categories:
        X[:, 0] = 0
    if model.input_offsets is not None:
        X = X + model.input_offsets
    calls: list[float] = []
    runs: list[float] = []
    engine.step("a", X[0])
    engine.run("b", X)
    for _ in range(_ROUNDS):
        start = perf_counter()
        for x in X:
            engine.step("a", x)
        middle = perf_counter()
        engine.run("b", X)
        calls.append((middle - start) / _STEPS * 1e6)
        runs.append((perf_counter() - middle) / _STEPS * 1e6)
    return {
        "backend": engine.backend,
        "from_python_us": round(median(calls), 3),
        "in_compiled_code_us": round(median(runs), 3),
    }


def _print_columns(shown: dict[str, Any]) -> None:
    """Print inputs and outputs as a table."""
    from rich.table import Table

    from .console import console

    table = Table("", "name", "mean", "scale", "offset", "")
    for side in ("inputs", "outputs"):
        for n, column in enumerate(shown[side]):
            numbers = (f"{column[key]:.6g}" for key in ("mean", "scale", "offset"))
            table.add_row(side[:-1] if n == 0 else "", column["name"], *numbers, _remark(column))
    console.print(table)


def _remark(column: dict[str, Any]) -> str:
    """Return what else an input or output is."""
    if column.get("category_of"):
        return f"one of {column['category_of']} categories"
    ahead = column.get("horizon", 0)
    words = [f"{ahead} step{'s' * (ahead != 1)} ahead"] if ahead else []
    words += [f"{column['added']} is added"] if column.get("added") else []
    return ", ".join(words)


def _lines(model: Model, shown: dict[str, Any]) -> list[str]:
    """Return memory and online stage in sentences."""
    memory = {
        "window": f"runs over windows of {model.window} rows",
        "stateful": "stateful: keeps its memory from step to step",
        "none": "has no memory: a prediction depends on the last row only",
    }
    return [
        f"{shown['parameters']:,} parameters; {shown['state_bytes']:,} bytes of memory a stream",
        memory[shown["memory"]],
        f"online stage: {model.online.describe() if model.online else 'none'}",
    ]
