"""Context managers that complete refusals: with the format, the layer, and the nearest way."""

from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import ConvertError, ModelError, StreamLSTMError
from .frameworks import first_line


class AdvisedError(ConvertError):
    """A refusal that says what to do: no general way is added to it."""


@contextmanager
def layer_errors(layer: str, way: str = "") -> Iterator[None]:
    """Name the layer in errors of its specification, and add a way to refusals without one.

    Parameters
    ----------
    layer : str
        Name of the layer in the source; messages of a ModelError start with it.
    way : str
        The nearest way that works, as a sentence; none is added by default.

    Raises
    ------
    ConvertError
    """
    try:
        yield
    except AdvisedError:
        raise
    except ConvertError as error:
        if not way or layer not in str(error):
            raise
        raise AdvisedError(f"{str(error).rstrip('.')}. {way}") from None
    except ModelError as error:
        raise ConvertError(f"{layer}: {error}") from None


@contextmanager
def refusals(what: str, name: str = "") -> Iterator[None]:
    """Name the format in every refusal, and refuse what code of others cannot read.

    Parameters
    ----------
    what : str
        What is converted, such as "a network of Keras"; messages start with it.
    name : str
        Name of the file, if it is one; it comes before that.

    Raises
    ------
    ConvertError
        In the place of every exception that is not one of this package.
    """
    start = f"{name} ({what})" if name else what
    try:
        yield
    except (ConvertError, ModelError) as error:
        text = str(error)
        if text.startswith(start):
            raise
        raise ConvertError(f"{start}: {text.removeprefix(f'{name}: ')}") from None
    except StreamLSTMError:
        raise
    except Exception as error:  # of any type: files are damaged in many ways
        kind = type(error).__name__
        raise ConvertError(
            f"{start}: cannot be read: it is damaged, or holds what is not known here ({kind}: "
            f"{first_line(error)}). Write it again with the software that it is from; if that "
            "reads "
            "it, this is a fault of streamlstm."
        ) from error
