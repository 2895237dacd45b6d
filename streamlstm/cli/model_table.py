"""What a model is, as commands print it: layers, window, scaling, added inputs, notes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamlstm.network.layers import Layer
    from streamlstm.network.model import Model


def print_model(model: Model) -> None:
    """Print the layers as a table, then window, scaling, skip connections and notes."""
    from rich.table import Table

    from streamlstm.network.window import describe_window

    from .console import console

    table = Table("", "layer", "in", "out", "options", "parameters")
    for n, layer in enumerate(model.layers):
        count = sum(array.size for array in model.weights[n].values())
        sizes = (str(layer.input_size), str(layer.output_size))
        options = ", ".join(_option(*option) for option in own_options(layer).items())
        table.add_row(str(n), type(layer).__name__, *sizes, options, f"{count:,}")
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
    compared = model.metadata.get("compared", "")
    if compared.startswith("no: "):
        print(f"not compared: {compared.removeprefix('no: ')}")
    elif compared:
        print(f"compared: {compared}")


def own_options(layer: Layer) -> dict[str, Any]:
    """Return the options of a layer that differ from their defaults, without sizes."""
    sizes = ("kind", "input_size", "output_size", "hidden_size")
    return {name: value for name, value in layer.to_dict().items() if name not in sizes}


def _option(name: str, value: Any) -> str:
    """Return an option as text; layers within a layer as Python code."""
    return f"{name}={_as_code(value)}"


def _as_code(value: Any) -> str:
    from streamlstm.network.layers import Layer

    if isinstance(value, list):
        return f"[{', '.join(map(_as_code, value))}]"
    return Layer.from_dict(value).describe() if isinstance(value, dict) else str(value)
