"""Fixtures that every kind of test may need."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Public data sets that are too large for the repository; skips where they are not at hand.

    A folder with `nab/` and `ett/`, from STREAMLSTM_SHARED_DATA or from `shared/data` beside the
    repository or in it.
    """
    named = os.environ.get("STREAMLSTM_SHARED_DATA")
    places = [Path(named)] if named else [ROOT.parent / "shared" / "data", ROOT / "shared" / "data"]
    for place in places:
        if place.is_dir():
            return place
    pytest.skip(f"shared data not found at {places[0]}; set STREAMLSTM_SHARED_DATA to its folder")
