"""Makes a release, and tries it: `make release`.

A wheel and an sdist are made from a copy of the tree, the wheel from the sdist. The wheel is
installed with all that it needs into a fresh environment, whose path has a space, of each Python
that is found here; the README's first program has to run there.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from streamlstm import __version__

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ((3, 11), (3, 12), (3, 13), (3, 14))
LEFT_OUT = (
    ".git",
    ".venv",
    "node_modules",
    "build",
    "dist",
    "*.egg-info",
    "__pycache__",
    ".*_cache",
)


def first_program() -> str:
    """Return the README's first program."""
    found = re.search(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    assert found is not None
    return found[1]


def pythons() -> dict[tuple[int, int], Path]:
    """Return an interpreter of each version of Python that is found, this one first."""
    found = {sys.version_info[:2]: Path(sys.executable)}
    for version in VERSIONS:
        name = f"python{version[0]}.{version[1]}"
        places = [Path(path) / name for path in os.get_exec_path()]
        places += sorted(Path.home().glob(f".pyenv/versions/*/bin/{name}"))
        for place in places:
            if version not in found and place.exists() and _has_venv(place, version):
                found[version] = place
    return found


def _has_venv(python: Path, version: tuple[int, int]) -> bool:
    """Tell whether a file is what its name says, and not the shim of a version that is away."""
    program = "import sys, venv; print(tuple(sys.version_info[:2]))"
    done = subprocess.run(
        [python, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout.strip() == str(version)


def build(to: Path) -> Path:
    """Make the sdist and, from it, the wheel; return the wheel.

    Nothing is fetched: what builds has to be installed (the extra ``dev``).
    """
    with tempfile.TemporaryDirectory() as folder:
        tree = shutil.copytree(
            ROOT, Path(folder) / "tree", ignore=shutil.ignore_patterns(*LEFT_OUT)
        )
        run([sys.executable, "-m", "build", "--no-isolation", "--outdir", to, tree], Path(folder))
    (wheel,) = to.glob(f"streamlstm-{__version__}-*.whl")
    return wheel


class Fresh:
    """An environment of its own, in a folder whose path has a space, with the wheel.

    Parameters
    ----------
    python : Path
        Whose environment it is.
    folder : Path
    wheel : Path
    libraries : Path, optional
        A folder of packages to use; without it they are installed, which takes a minute.
    """

    def __init__(
        self, python: Path, folder: Path, wheel: Path, libraries: Path | None = None
    ) -> None:
        self.home = folder / "a path with spaces"
        self.home.mkdir()
        run([python, "-m", "venv", "--without-pip", self.home / "env"], folder)
        self.python = self.home / "env/bin/python"
        found = self.said("-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
        self.site = Path(found.strip())
        options = [] if libraries is None else ["--no-deps", "--no-index", "--no-compile"]
        if libraries is not None:
            (self.site / "libraries.pth").write_text(f"{libraries}\n")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", self.python]
        run([*pip, "install", "-q", *options, wheel], folder)

    def said(self, *arguments: str) -> str:
        """Return what a program of this environment prints."""
        return run([self.python, *arguments], self.home)

    def version(self) -> str:
        """Return what `streamlstm --version` prints, the script that pip has made."""
        return run([self.home / "env/bin/streamlstm", "--version"], self.home)

    def check(self) -> None:
        """Check that the README's first program runs, and what each part says of the version."""
        assert self.version() == f"streamlstm {__version__}\n"
        assert len(self.said("-c", first_program()).splitlines()) == 3


def run(command: Sequence[str | Path], folder: Path) -> str:
    """Run a command that must succeed, and return what it prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command, cwd=folder, env=kept, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def main() -> None:
    """Make a release and try it on each Python."""
    parser = argparse.ArgumentParser(description="Make a wheel and an sdist, and try the wheel.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder (default: dist)")
    out = parser.parse_args().out.resolve()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    wheel = build(out)
    for (major, minor), python in pythons().items():
        with tempfile.TemporaryDirectory() as folder:
            Fresh(python, Path(folder), wheel).check()
        print(f"Python {major}.{minor}: installed, and the README's first program runs", flush=True)
    print("\n".join(str(path) for path in sorted(out.iterdir())))


if __name__ == "__main__":
    main()
