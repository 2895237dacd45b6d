"""Whatever a broken file leads to, people get one kind of error with the file's name in it."""

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import ConvertError, ModelError

_BROKEN = (TypeError, AttributeError, KeyError, IndexError, ValueError, RecursionError)


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
