"""Parameters of a test that `make test` leaves out, where shorter ones stay."""

from typing import Any

import pytest


def exhaustive(*arguments: Any) -> Any:
    """Return a set of parameters that only `make test-all` runs."""
    return pytest.param(*arguments, marks=pytest.mark.exhaustive)
