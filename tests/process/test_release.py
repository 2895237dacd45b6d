"""A wheel and an sdist: complete, and what pip makes of them on each Python that is found."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from streamlstm import __version__
from tests.release import ROOT, Fresh, build, pythons

LIBRARIES = Path(sysconfig.get_path("purelib"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("dist"))


def lend_kernels(site: Path) -> None:
    """Let an installed package find the machine code that the tests have compiled."""
    for file in (ROOT / "streamlstm").rglob("*"):
        place = site / file.relative_to(ROOT)
        if file.suffix == ".py":
            shutil.copystat(file, place)  # by which Numba knows whether the code is of this source
        elif file.suffix in (".nbi", ".nbc"):
            place.parent.mkdir(exist_ok=True)
            shutil.copy(file, place)


def test_the_wheel_on_each_python(wheel, tmp_path):
    """The libraries are those of the tests; of another version of Python only what is no C runs."""
    for n, (version, python) in enumerate(pythons().items()):
        (folder := tmp_path / str(version)).mkdir()
        fresh = Fresh(python, folder, wheel, LIBRARIES)
        assert fresh.version() == f"streamlstm {__version__}\n"
        program = "import streamlstm; print(streamlstm.__version__, streamlstm.__file__)"
        assert fresh.said("-c", program) == f"{__version__} {fresh.site}/streamlstm/__init__.py\n"
        if n == 0:
            lend_kernels(fresh.site)
            fresh.check()


def test_every_file_that_names_a_version_names_this_one():
    released = re.findall(
        r"^## \[(\d.*)\] - 20\d\d-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.M
    )
    assert released[0] == __version__
    manifests = "".join(path.read_text() for path in (ROOT / "deploy/kubernetes").glob("*.yaml"))
    assert set(re.findall(r"image: streamlstm:(\S+)", manifests)) == {__version__}
    for package in ROOT.glob("clients/*/package.json"):
        assert json.loads(package.read_text())["version"] == __version__


def test_nothing_is_missing(wheel):
    """Every file of the repository is in the sdist, every file of the package in the wheel."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and a clone")
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    ).stdout
    tracked = {name for name in listed.splitlines() if (ROOT / name).exists()}
    with tarfile.open(wheel.parent / f"streamlstm-{__version__}.tar.gz") as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert tracked - names == set()
    with zipfile.ZipFile(wheel) as packed:
        package = {name for name in packed.namelist() if ".dist-info/" not in name}
    assert {name for name in tracked if name.startswith("streamlstm/")} - package == set()
    assert not [name for name in package if not name.startswith("streamlstm/")]
