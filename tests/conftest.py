"""Fixtures that every kind of test may need."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from .redis_server import Redis

# How long an example takes says more of the machine than of the code.
settings.register_profile("any pace", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any pace")

ROOT = Path(__file__).resolve().parent.parent
# What takes longest comes first, so that no process is left alone with it at the end.
LONGEST = (
    "softgpu/test_backend.py",
    "unit/test_cuda.py",
    "contract/test_widths.py",
    "process/test_reload_load.py",
    "process/test_reload_killed.py",
    "process/test_reload.py",
    "process/test_curve.py",
    "process/test_worker_lifecycle.py",
)


def _shared_data() -> Path:
    """Return where public data sets, `nab/` and `ett/`, are that are too large for the repository.

    STREAMLSTM_SHARED_DATA, or `shared/data` beside the repository or in it.
    """
    named = os.environ.get("STREAMLSTM_SHARED_DATA")
    places = [Path(named)] if named else [ROOT.parent / "shared" / "data", ROOT / "shared" / "data"]
    return next((place for place in places if place.is_dir()), places[0])


SHARED_DATA = _shared_data()


def pytest_report_header() -> str:
    """Say whether tests of public data sets run: they are collected only where the data is."""
    if SHARED_DATA.is_dir():
        return f"public data sets: {SHARED_DATA}"
    return (
        f"public data sets: not in {SHARED_DATA}, so their tests are left out; "
        "STREAMLSTM_SHARED_DATA=FOLDER, which holds nab/ and ett/, runs them"
    )


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile the kernels before several processes of tests would each do so."""
    if getattr(session.config.option, "numprocesses", None):
        halves = [[sys.executable, "-m", "tests.warm_up", half] for half in ("first", "second")]
        for half in [subprocess.Popen(command, cwd=ROOT) for command in halves]:
            half.wait()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Run more processes of tests than there are cores: many of them wait for other processes."""
    return (os.cpu_count() or 1) + 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the files that take longest to the front."""
    place = {ROOT / "tests" / name: n for n, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Let processes of tests be interrupted even where a shell runs the tests in the background.

    Such a shell ignores SIGINT for its children, and theirs would inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _usual_ctrl_c(_interruptible: None) -> None:
    """Let Ctrl-C raise KeyboardInterrupt: a command that ran here lets it end the process."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _failures_end_their_processes() -> Iterator[None]:
    """Let a test that fails end the processes in whose ``with`` it is; it would wait for them."""
    leave = subprocess.Popen.__exit__

    def kill_and_leave(process: subprocess.Popen[Any], kind: Any, *error: Any) -> None:
        if kind is not None:
            process.kill()
        leave(process, kind, *error)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "__exit__", kill_and_leave)
        yield


@pytest.fixture(autouse=True)
def _slow_stores_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let services in tests wait for a slow disk or Redis; a test of their limits sets them."""
    monkeypatch.setattr("streamlstm.serving.eviction.ROOM_SECONDS", 60.0)
    monkeypatch.setattr("streamlstm.serving.stores.redis_namespace.READ_SECONDS", 10.0)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    """A Redis of this test's own."""
    with Redis(tmp_path) as made:
        yield made


@pytest.fixture
def server(redis: Redis) -> Iterator[Any]:
    """A client of that Redis."""
    with redis.client() as client:
        yield client
