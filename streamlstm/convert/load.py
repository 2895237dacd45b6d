"""Loading of a network in any known format."""

from os import PathLike, fspath
from typing import Any

from ..errors import ConvertError
from ..network.model import Model
from .detect import detect
from .formats import FORMATS, load_function


def load_any(path: str | PathLike[str], **options: Any) -> Model:
    """Load a network, whatever it was trained in.

    Parameters
    ----------
    path : path
        A file in a format of :data:`streamlstm.convert.formats.FORMATS`.
    **options
        Those of the reader of its format; none for a model file of streamlstm.

    Returns
    -------
    Model

    Raises
    ------
    ConvertError
        If its format is not known, it cannot be converted, or an option does not apply to its
        format.
    """
    found = FORMATS[detect(path)]
    for option in options:
        if option not in found.options:
            raise ConvertError(
                f"{fspath(path)}: {option}= does not apply to {found.description}, which takes "
                f"{', '.join(found.options) or 'no options'}."
            )
    reader = load_function(found.reader) if found.reader else Model.load
    model: Model = reader(path, **options)
    return model
