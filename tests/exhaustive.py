"""Parameters of a test that `make test` leaves out, and shorter ones that stay in their place."""

from typing import Any

import pytest


def exhaustive(*arguments: Any) -> Any:
    """Return a set of parameters that only `make test-all` runs."""
    return pytest.param(*arguments, marks=pytest.mark.exhaustive)


def short(*arguments: Any) -> Any:
    """Return a set of parameters that it leaves out: an exhaustive one does the same and more."""
    return pytest.param(*arguments, marks=pytest.mark.short)
