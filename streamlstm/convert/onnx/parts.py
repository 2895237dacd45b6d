"""Parts of a graph: up to one of its tensors, which can be brought where the whole cannot."""

from collections.abc import Callable, Iterator
from typing import Any

from ...errors import ConvertError
from ..common.error_context import AdvisedError

_TRIES = 6  # tensors that are tried, the last ones first
# Nodes that only arrange numbers: behind them nothing is new.
_ARRANGING = {
    *("Constant", "ConstantOfShape", "Shape", "Cast", "Identity", "Dropout", "Reshape", "Squeeze"),
    *("Unsqueeze", "Transpose", "Gather", "Slice", "Split", "Concat", "Expand", "Flatten", "Range"),
}


def ending_at(model: Any, output: str | None) -> Any:
    """Return a graph whose output is one of its tensors; the graph if that is one already.

    Raises
    ------
    ConvertError
        If it has no such tensor.
    """
    outputs = [value.name for value in model.graph.output]
    if output is None or output in outputs:
        return model
    if output not in {name for node in model.graph.node for name in node.output}:
        raise ConvertError(
            f"the graph has no output {output!r}; it has {', '.join(outputs)}, and every tensor in "
            "it can be taken."
        )
    from onnx import ModelProto, TensorProto, helper

    part = ModelProto()
    part.CopyFrom(model)
    del part.graph.output[:]
    part.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, None))
    return part


def way_around(model: Any, convert: Callable[[str], object]) -> str:
    """Return which part of a graph can be brought by itself, as a sentence; empty without one.

    Parameters
    ----------
    model : onnx.ModelProto
    convert : callable
        Converts the graph up to a tensor, or raises a ConvertError.
    """
    for name in _candidates(model):
        try:
            convert(name)
        except AdvisedError:
            return ""
        except ConvertError:
            continue
        return (
            f" What comes before it can be brought by itself, as output={name!r} (--output), and "
            "the rest be computed in your own program."
        )
    return ""


def _candidates(model: Any) -> Iterator[str]:
    """Yield the tensors that may be the end of a part, the last ones first."""
    outputs = {value.name for value in model.graph.output}
    made = [n.output[0] for n in model.graph.node if n.op_type not in _ARRANGING and n.output]
    yield from [name for name in made[::-1] if name and name not in outputs][:_TRIES]
