"""Computes a network in its own software, to compare a converted model with the outputs."""

from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any

from ..errors import ConvertError
from .common.frameworks import first_line
from .common.weights import Float64Array
from .formats import FORMATS, load_function


@dataclass(frozen=True)
class ReferenceOutputs:
    """Outputs of the original network.

    Attributes
    ----------
    values : float64[N, O]
        For the last N observations.
    source : str
        What computed them.
    """

    values: Float64Array
    source: str


def reference_outputs(
    path: str | PathLike[str], kind: str, X: Float64Array, outputs: int, **options: Any
) -> ReferenceOutputs:
    """Compute a file for ``X[T, F]`` in its own software, independently of its conversion.

    This is the framework's runtime where it is installed; else the network is computed in float64
    from the arrays of the file.

    Parameters
    ----------
    path : path
    kind : str
        Its format, as returned by :func:`streamlstm.convert.detect.detect`.
    X : float64[T, F]
    outputs : int
        O.
    **options
        Options of the format that the conversion used.

    Raises
    ------
    ConvertError
        If nothing can compute it.
    """
    problem = "no runtime of that kind is installed"
    reference = FORMATS[kind].evaluators
    for evaluator in load_function(reference)(fspath(path), **options) if reference else ():
        try:
            values = evaluator.compute(X, outputs)
        except Exception as error:  # of any type: the next evaluator may work
            problem = f"{evaluator.name}: {first_line(error)}"
        else:
            source = ", ".join(filter(None, (evaluator.name, evaluator.caveat)))
            return ReferenceOutputs(values, source)
    raise ConvertError(f"{fspath(path)}: cannot be checked: {problem.rstrip('.')}.")
