"""Fixtures that every kind of test may need."""

import os
import signal
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Let processes of tests be interrupted even where a shell runs the tests in the background.

    Such a shell ignores SIGINT for its children, and theirs would inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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
