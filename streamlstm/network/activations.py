"""Activation functions as text: a name, with parameters in brackets where it has any.

Names, default parameters and codes are in kernels/layout.py, equations in kernels/reference.py.
"""

import math
import re

from ..errors import ModelError, shown
from ..kernels.layout import ACTIVATIONS, CODES, SOFTMAX

# Default parameters of the activations of single values; softmax and log_softmax take all outputs.
PARAMETERS = {name: defaults for name, defaults in ACTIVATIONS.items() if CODES[name] < SOFTMAX}
# Those without; other frameworks call them by the same names, up to capitals and underscores.
WITHOUT_PARAMETERS = tuple(name for name, defaults in PARAMETERS.items() if not defaults)

_FORM = re.compile(r"\s*([a-z0-9_]+)\s*(?:\(([^()]*)\))?\s*")


def parse_activation(text: str, together: bool = False) -> tuple[str, tuple[float, ...]]:
    """Return name and parameters of an activation such as ``"leaky_relu(0.1)"``.

    Parameters
    ----------
    text : str
    together : bool
        Whether softmax and log_softmax, which take all outputs of a layer, are allowed.

    Raises
    ------
    ModelError
        If there is no such activation, or its parameters are not right.
    """
    match = _FORM.fullmatch(text) if isinstance(text, str) else None
    known = ACTIVATIONS if together else PARAMETERS
    if match is None or match[1] not in known:
        raise ModelError(f"expected an activation out of {', '.join(known)}, got {shown(text)}.")
    name, brackets = match[1], match[2]
    defaults = known[name]
    if brackets is None:
        return name, defaults
    try:
        given = tuple(float(number) for number in brackets.split(","))
    except ValueError:
        given = ()
    if len(given) != len(defaults) or not all(map(math.isfinite, given)):
        raise ModelError(
            f"activation {name}: expected {len(defaults)} finite parameters, got {shown(text)}."
        )
    return name, given


def name_activation(name: str, *parameters: float) -> str:
    """Return the text of an activation; :func:`parse_activation` reads it."""
    if not PARAMETERS.get(name):
        return name
    return f"{name}({', '.join(repr(float(p)) for p in parameters or PARAMETERS[name])})"
