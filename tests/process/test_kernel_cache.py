"""Where compiled kernels are kept: read-only folders, no folder at all, images of containers."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from streamlstm.kernels import compile
from streamlstm.learn import cells
from streamlstm.serving import compiled_loop
from streamlstm.serving.gateway import gateway

GROUPS = [compile.DIRTY_TRACKING, compile.EVICTION]  # quickly compiled
PREPARE = f"from streamlstm.kernels import compile; compile.prepare(None, {GROUPS})\n"
# Where the kernels of each module are kept.
FOLDERS = (
    "import json; from streamlstm.kernels import compile\n"
    "from streamlstm.learn import cells; from streamlstm.serving import compiled_loop\n"
    "from streamlstm.serving.gateway import gateway\n"
    "kernels = [*compile.all_kernels(), *cells.KERNELS]\n"
    "print(json.dumps({k.py_func.__module__: k._cache.folder_to_write()[0] for k in kernels}))\n"
)
FOUND = PREPARE + (
    "assert all(k.stats.cache_hits and not k.stats.cache_misses "
    f"for group in {GROUPS} for k in compile._kernels()[group])\n"
    # Nor was anything imported that only compiling needs.
    "import sys; assert 'numba.np.linalg' not in sys.modules\n"
)
FOUND_FOR_TRAINING = (
    "from streamlstm.learn import cells; cells.compile_kernels()\n"
    "assert all(k.stats.cache_hits and not k.stats.cache_misses for k in cells.KERNELS)\n"
)
NOT_KEPT = "compiled kernels cannot be kept"


def _obey_permissions() -> None:
    """Let even root, in the program that follows, write only where permissions allow it."""
    drop_from_bounding_set, dac_override = 24, 1
    if os.geteuid() == 0 and ctypes.CDLL(None).prctl(drop_from_bounding_set, dac_override):
        os._exit(99)


class Installed:
    """A copy of the package in a folder of its own, and a home."""

    def __init__(self, folder: Path, package: Path) -> None:
        self.site, self.home, self.chosen = (folder / n for n in ("site", "home", "chosen"))
        self.home.mkdir()
        self.chosen.mkdir()
        self.package = self.site / "streamlstm"
        shutil.copytree(package, self.package, ignore=shutil.ignore_patterns("__pycache__"))

    def python(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        own = {"PYTHONPATH": str(self.site), "HOME": str(self.home), "PYTHONWARNINGS": "error"}
        left_out = ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")
        kept = {name: value for name, value in os.environ.items() if name not in left_out}
        return subprocess.run(
            [sys.executable, *arguments], env={**kept, **own, **environment}, cwd=self.home,
            capture_output=True, text=True, timeout=300, check=False,
            preexec_fn=_obey_permissions,
        )  # fmt: skip

    def add_compiled(self, left_out: Sequence[Any] = (), **environment: str) -> None:
        """Add the kernels that the tests have compiled, as `streamlstm compile` would."""
        compile.prepare(None, compile.all_names())
        cells.compile_kernels()
        done = self.python("-c", FOLDERS, **environment)
        assert done.returncode == 0, done.stderr
        folders = json.loads(done.stdout)
        for kernel in [*compile.all_kernels(), *cells.KERNELS]:
            if kernel not in left_out:
                for file in kernel._cache.files():
                    shutil.copy(file, folders[kernel.py_func.__module__])

    def forbid(self, *folders: Path) -> None:
        """Let nobody write to these folders."""
        for folder in folders:
            for place, _, _ in os.walk(folder):
                os.chmod(place, 0o555)

    def allow_all(self) -> None:
        for top in (self.site, self.home, self.chosen):
            for place, _, _ in os.walk(top):
                os.chmod(place, 0o755)


@pytest.fixture
def installed(tmp_path: Path, root: Path) -> Iterator[Installed]:
    copy = Installed(tmp_path, root / "streamlstm")
    yield copy
    copy.allow_all()


def is_quiet(done: subprocess.CompletedProcess[str]) -> bool:
    return (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_where_nothing_can_be_written_kernels_are_compiled_with_a_notice(
    installed: Installed,
) -> None:
    installed.forbid(installed.site, installed.home)
    done = installed.python("-c", PREPARE)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == done.stderr.count(NOT_KEPT) == 1
    assert "NUMBA_CACHE_DIR" in done.stderr
    assert "streamlstm compile" in done.stderr


def test_a_complete_cache_that_is_read_only_is_used(installed: Installed) -> None:
    installed.add_compiled()
    installed.forbid(installed.site, installed.home)
    assert is_quiet(installed.python("-c", FOUND))
    assert is_quiet(installed.python("-c", FOUND_FOR_TRAINING))


def test_kernels_of_the_package_are_used_with_another_cache_chosen(installed: Installed) -> None:
    installed.add_compiled()
    done = installed.python("-c", FOUND, NUMBA_CACHE_DIR=str(installed.chosen))
    assert is_quiet(done), done.stderr


def test_a_chosen_folder_that_cannot_be_written_is_named(installed: Installed) -> None:
    installed.forbid(installed.chosen)
    done = installed.python("-c", PREPARE, NUMBA_CACHE_DIR=str(installed.chosen))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"NUMBA_CACHE_DIR cannot be written ({installed.chosen}")
    assert str(installed.package) in done.stderr
    assert is_quiet(installed.python("-c", FOUND, NUMBA_CACHE_DIR=str(installed.chosen)))


def test_kernels_for_another_processor_are_compiled_for_this_one(installed: Installed) -> None:
    """Such as an image that was built on a machine with AVX-512, on one with AVX2."""
    installed.add_compiled()
    installed.forbid(installed.site, installed.home)
    program = PREPARE + f"from streamlstm.kernels import simd; print(simd.LANES, {GROUPS[0]!r})"
    other = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    done = installed.python("-c", program, **other)
    assert (done.returncode, done.stdout) == (0, f"4 {GROUPS[0]}\n"), done.stderr
    assert done.stderr.count(NOT_KEPT) == 1


def test_a_damaged_cache_is_compiled_again(installed: Installed) -> None:
    installed.add_compiled()
    for n, file in enumerate(sorted((installed.package / "kernels/__pycache__").glob("*.nb?"))):
        file.write_bytes([b"", b"damaged", file.read_bytes()[:100]][n % 3])
    done = installed.python("-c", PREPARE)
    assert done.returncode == 0, done.stderr
    assert "cannot be used" in done.stderr
    assert "Traceback" not in done.stderr
    assert is_quiet(installed.python("-c", FOUND))


def test_compile_says_where_the_kernels_are(installed: Installed) -> None:
    installed.add_compiled()
    done = installed.python("-m", "streamlstm", "compile")
    assert (done.returncode, done.stderr) == (0, "")
    kernels = len([*compile.all_kernels(), *cells.KERNELS])
    assert done.stdout.startswith(f"{kernels} kernels for ")
    assert done.stdout.endswith(f" MB in {installed.package}\n")


def test_inspect_says_what_it_compiles_to_measure_a_step(installed: Installed) -> None:
    installed.add_compiled(compile._kernels()["dense"])
    model = installed.package / "models/host.safetensors"
    done = installed.python("-m", "streamlstm", "inspect", str(model))
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("compiling kernels for this machine\n")
    assert ": dense\n" in done.stderr
    assert "us in compiled code" in done.stdout


BESIDE = """
from streamlstm.backends.beside import compiled_beside
from streamlstm.kernels import compile
try:
    with compiled_beside(["dense"]):
        raise LookupError
except LookupError:
    assert not compile.is_warm(["dense"])
with compiled_beside(["dense"]):
    pass
assert compile.is_warm(["dense"])
compile.prepare(None, ["dense"])
assert all(kernel.stats.cache_hits for kernel in compile._kernels()["dense"])
"""


FLOAT16 = """
import numpy as np
from streamlstm import LSTM, Engine, Model
from streamlstm.kernels import compile
from streamlstm.kernels.simd import HALVES
assert not HALVES
layer, random = LSTM(2, 9), np.random.default_rng(1)
weights = {name: random.normal(size=shape) for name, shape in layer.parameters().items()}
model = Model([layer], [weights])
ours, expected = (Engine(model, 1, backend, weights="float16") for backend in ("cpu", "reference"))
for x in random.normal(size=(5, 2)):
    assert abs(ours.step("a", x) - expected.step("a", x)).max() < 1e-5
assert "lstm float16, single stream" not in compile.all_names()
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="others convert it, or have no x86 code")
def test_a_processor_that_does_not_convert_float16_reads_it_as_float32(
    installed: Installed,
) -> None:
    """LLVM would call a function that is not there, which ended the process by a signal."""
    old = {"NUMBA_CPU_NAME": "x86-64-v2", "NUMBA_CPU_FEATURES": ""}
    done = installed.python("-c", FLOAT16, **old)
    assert (done.returncode, done.stderr) == (0, "")


ON_ALL_CORES = """
import sys
from streamlstm.backends.beside import compile_on_all_cores
from streamlstm.kernels import compile
groups, said = ["dense", compile.PARTITION], []
if len(sys.argv) > 1:
    sys.executable = sys.argv[1]
compile_on_all_cores(groups, lambda *each: said.append(each))
assert said == [(0, 2, groups[0]), (1, 2, groups[1]), (2, 2, "done")], said
kernels = [kernel for group in groups for kernel in compile._kernels()[group]]
print(*(bool(kernel.stats.cache_hits) for kernel in kernels))
"""


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors")
@pytest.mark.parametrize("others", [True, False], ids=["two processes", "one that ends at once"])
def test_groups_of_kernels_are_compiled_by_several_processes(
    installed: Installed, others: bool
) -> None:
    done = installed.python("-c", ON_ALL_CORES, *([] if others else ["/bin/false"]))
    assert (done.returncode, done.stderr) == (0, "")
    of_others = done.stdout.split()
    assert of_others == ["False", *[str(others)] * (len(of_others) - 1)]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors")
def test_kernels_are_compiled_beside_something_else(installed: Installed) -> None:
    done = installed.python("-c", BESIDE)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr == "waiting for kernels that are compiled beside this: dense\n"


def test_compile_refuses_a_folder_that_cannot_be_written(installed: Installed) -> None:
    installed.forbid(installed.chosen, installed.site, installed.home)
    for arguments in (["--cache", str(installed.chosen)], []):
        done = installed.python("-m", "streamlstm", "compile", *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("streamlstm: compile: expected a folder that can be written")
        assert done.stderr.count("\n") == 1


@pytest.mark.exhaustive
def test_an_image_with_compiled_kernels_compiles_nothing_later(
    installed: Installed, root: Path
) -> None:
    chosen = {"NUMBA_CACHE_DIR": str(installed.chosen)}
    # One of each package is compiled there; to compile all of them would take minutes.
    compiled = [*(kernel for name in GROUPS for kernel in compile._kernels()[name])]
    compiled += cells.KERNELS[:1]
    installed.add_compiled(compiled, **chosen)
    done = installed.python("-m", "streamlstm", "compile", "--cache", str(installed.chosen))
    assert done.returncode == 0, done.stderr
    assert f"NUMBA_CACHE_DIR={installed.chosen}" in done.stdout
    installed.forbid(installed.site, installed.home, installed.chosen)
    everything = (
        "from streamlstm.kernels import compile\n"
        "from streamlstm.learn import cells\n"
        "from streamlstm.serving import compiled_loop\n"
        "from streamlstm.serving.gateway import gateway\n"
        "compile.prepare(None, compile.all_names()); cells.compile_kernels()\n"
        "kernels = [*compile.all_kernels(), *cells.KERNELS]\n"
        "assert all(k.stats.cache_hits and not k.stats.cache_misses for k in kernels)"
    )
    assert is_quiet(installed.python("-c", everything, **chosen))
    table = root / "examples/data/host.csv.gz"
    model = installed.package / "models/host.safetensors"
    done = installed.python(
        "-m", "streamlstm", "predict", str(model), str(table), "--stream-column", "stream", **chosen
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


assert {*compiled_loop.NAMES, *gateway.NAMES} <= set(compile.all_names())
