"""Context managers that turn any error of a file or layer into a ConvertError with its name."""

from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import ConvertError, ModelError

_MALFORMED = (TypeError, AttributeError, KeyError, IndexError, ValueError, RecursionError)


@contextmanager
def layer_errors(layer: str) -> Iterator[None]:
    """Raise errors of a layer specification, such as an unknown activation, as ConvertError.

    Parameters
    ----------
    layer : str
        Name of the layer in the source; the message starts with it.

    Raises
    ------
    ConvertError
    """
    try:
        yield
    except ModelError as error:
        raise ConvertError(f"{layer}: {error}") from None


@contextmanager
def file_errors(name: str) -> Iterator[None]:
    """Raise errors that a malformed file causes as ConvertError.

    Parameters
    ----------
    name : str
        Name of the file; the message starts with it.

    Raises
    ------
    ConvertError
    """
    try:
        yield
    except ConvertError:
        raise
    except ModelError as error:
        raise ConvertError(f"{name}: {error}") from None
    except _MALFORMED as error:
        raise ConvertError(f"{name}: its configuration is malformed: {error!r}.") from None
