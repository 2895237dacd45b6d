"""Checks the files of a store for damage before LMDB maps them.

The tree is read with plain reads, page by page, by ``lmdb.verify``: every page that is in use, the
order of keys, and that each page is used or free and not both. So damage gives a sentence, where
LMDB itself would end the process by SIGBUS or an assertion.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

from lmdb import verify

from ....errors import StoreError
from .folder import RESTORE

_LOG = logging.getLogger(__name__)

LONG_BYTES = 2**26  # of a file whose check is logged: it takes a second or more
_LEAK = "a leak"  # in the sentence on pages that nothing uses, which harms nobody


def structure_problems(data: Path) -> list[str]:
    """Return a sentence for each kind of damage to the pages of a data file.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    try:
        found = verify.verify(str(data), subdir=False)
    except OSError:
        raise
    except verify.VerifyError as error:
        found = [str(error)]
    except Exception as error:  # a parser of arbitrary bytes
        found = [f"its pages cannot be read ({type(error).__name__}: {error})"]
    return [problem for problem in found if _LEAK not in problem]


def damaged(place: str, problems: list[str]) -> StoreError:
    """Return the error that refuses a store with these problems."""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return StoreError(
        f"{place}: is damaged: {problems[0]}{more}; `streamlstm store check` lists all. "
        f"Nothing was changed; {RESTORE}."
    )


def check_structure(place: str, data: Path) -> None:
    """Check the pages of a data file; log it where it takes long.

    Raises
    ------
    StoreError
        If it is damaged.
    OSError
        If it cannot be read.
    """
    begin, size = time.monotonic(), data.stat().st_size
    if size > LONG_BYTES:
        _LOG.info(
            "%s: reads %.0f MiB, since %s is not as a worker left it",
            place,
            size / 2**20,
            data.name,
        )
    problems = structure_problems(data)
    if problems:
        raise damaged(place, problems)
    if size > LONG_BYTES:
        _LOG.info("%s: is sound; the check took %.1f s", place, time.monotonic() - begin)
