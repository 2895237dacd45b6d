"""Whatever a broken file leads to, people get one kind of error that says where it is."""

from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import ConvertError, ModelError

_BROKEN = (TypeError, AttributeError, KeyError, IndexError, ValueError, RecursionError)


@contextmanager
def naming(layer: str) -> Iterator[None]:
    """Turn what a layer specification refuses, an unknown activation say, into a ConvertError.

    Parameters
    ----------
    layer : str
        How the source calls the layer; the message starts with it.

    Raises
    ------
    ConvertError
    """
    try:
        yield
    except ModelError as error:
        raise ConvertError(f"{layer}: {error}") from None


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """Turn what a file that is not as it should be leads to into a ConvertError.

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
    except _BROKEN as error:
        raise ConvertError(
            f"{name}: its configuration is not as such files have it: {error!r}."
        ) from None
