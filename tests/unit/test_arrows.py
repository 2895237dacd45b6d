"""Who may know whom: packages import downward only, and no files import each other in a circle."""

import subprocess
import sys
from itertools import pairwise

import pytest

from docs import architecture
from docs.architecture import imports, module_of, package_of

# Each package and what it may import of the others: only what stands above it, so that there is no
# circle. `errors` is known to all, and a package to itself.
MAY_IMPORT = {
    "errors": "",
    "files": "",
    "lazy_arrays": "",
    "plots": "",
    "kernels": "",
    "network": "files kernels",
    "online": "network kernels",
    "backends": "online network kernels lazy_arrays",
    "data": "",
    "wire": "",
    "engine": "backends online network kernels lazy_arrays",
    "learn": "engine data online backends network kernels lazy_arrays files plots",
    "adapters": "learn engine data network",
    "convert": "engine data backends network kernels files",
    "client": "engine wire network files",
    "serving": "client engine wire backends network kernels lazy_arrays files",
    "fleet": "serving wire files",
    "bridges": "client engine wire data",
    "inside": "engine network plots",
    "web": "serving client engine wire online network",
    "loadtest": "",
    "cli": "web inside bridges fleet serving convert learn client engine wire data backends online "
    "network kernels files plots loadtest",
    "__main__": "cli",
    "workers": "cli serving client engine wire data network files",
    "examples": "inside learn client engine wire data online network",
    "benchmarks": "fleet serving convert learn client engine wire data online backends network "
    "kernels lazy_arrays loadtest",
}
# Packages of others, and who alone may import them.
ONLY = {
    "msgpack": "wire",
    "zmq": "client serving fleet loadtest cli benchmarks",
    "starlette": "web cli",
    "uvicorn": "web examples",
    "numba": "kernels backends learn serving loadtest benchmarks",
    "llvmlite": "kernels loadtest",
    "safetensors": "network convert",
    "lmdb": "serving",
    "redis": "serving",
    "prometheus_client": "serving",
    "pyarrow": "data",
    "pandas": "data",
    "sklearn": "adapters",
    "river": "adapters",
    "polars": "data",
    "psutil": "data serving examples benchmarks",
    "typer": "cli",
    "matplotlib": "plots examples",
    "paho": "bridges benchmarks",
    "confluent_kafka": "bridges benchmarks",
    "nats": "bridges benchmarks",
    "torch": "convert benchmarks examples",
    "keras": "convert benchmarks",
    "h5py": "convert",
    "onnx": "convert benchmarks",
    "onnxruntime": "benchmarks",
    "ray": "fleet",
}
# Written without our wire, to show that the protocol can be spoken with pyzmq and msgpack alone, or
# what it costs to do so.
EXCEPT = {
    ("examples/plain_client.py", "msgpack"),
    ("examples/plain_client.py", "zmq"),
    ("benchmarks/live/plain_worker.py", "msgpack"),
}


def violations(source: str, path: str) -> list[str]:
    """Name every import of a file that does not point downward."""
    here = package_of(module_of(path)[0])
    assert here in MAY_IMPORT, f"{path}: give {here} a row in MAY_IMPORT, above what imports it"
    allowed, wrong = {here, "errors", *MAY_IMPORT[here].split()}, []
    for name, line, _ in imports(source, path):
        top = name.split(".")[0]
        if top == "streamlstm" and package_of(name) not in allowed:
            wrong.append(f"{path}:{line}: {here} may not import {name}; see MAY_IMPORT")
        elif top in ONLY and here not in ONLY[top].split() and (path, top) not in EXCEPT:
            wrong.append(f"{path}:{line}: only {ONLY[top]} may import {top}")
    return wrong


def circle(sources: dict[str, str]) -> list[str]:
    """Return imports that lead from a file back to itself; types of one package are free."""
    paths = {module_of(path)[0]: path for path in sources}
    knows: dict[str, dict[str, int]] = {path: {} for path in sources}
    for path, source in sources.items():
        for name, line, typing_only in imports(source, path):
            there = paths.get(name) or paths.get(name.rpartition(".")[0])
            free = typing_only and package_of(name) == package_of(module_of(path)[0])
            if there and there != path and not free:
                knows[path].setdefault(there, line)
    while leaves := [path for path, there in knows.items() if not there.keys() & knows.keys()]:
        for path in leaves:
            del knows[path]
    way: list[str] = []
    file = next(iter(knows), "")
    while file and file not in way:
        way.append(file)
        file = next(there for there in knows[file] if there in knows)
    round_trip = [*way[way.index(file) :], file] if way else []
    return [f"{a}:{knows[a][b]} imports {b}" for a, b in pairwise(round_trip)]


def test_the_table_has_no_circle() -> None:
    above: set[str] = set()
    for package, may_import in MAY_IMPORT.items():
        assert above >= set(may_import.split()), package
        above.add(package)


def test_every_import_points_downward() -> None:
    wrong = [w for path, text in architecture.sources().items() for w in violations(text, path)]
    assert not wrong, "\n".join(wrong)


def test_the_table_allows_no_more_than_is_used() -> None:
    used = architecture.known()
    assert used.keys() == MAY_IMPORT.keys()
    for package in MAY_IMPORT.keys() - {"workers", "examples", "benchmarks"}:
        assert set(MAY_IMPORT[package].split()) <= used[package], package


def test_no_files_import_each_other_in_a_circle() -> None:
    found = circle(architecture.sources())
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("streamlstm/kernels/made_up.py", "from ..engine.ids import check_stream_id"),
        ("streamlstm/kernels/made_up.py", "def f():\n    import streamlstm.engine"),
        ("streamlstm/network/model.py", "from ..backends.plan import compile_plan"),
        (
            "streamlstm/network/model.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..engine import engine",
        ),
        ("streamlstm/engine/engine.py", "from .. import wire"),
        ("streamlstm/engine/engine.py", "import msgpack"),
        ("streamlstm/engine/engine.py", "import zmq"),
        ("streamlstm/wire/decoding.py", "from streamlstm.serving.worker import Worker"),
        ("streamlstm/serving/made_up.py", "from streamlstm.cli.console import err"),
        ("streamlstm/inside/record.py", "from streamlstm import Client"),
        ("streamlstm/learn/made_up.py", "import torch"),
        ("workers/made_up.py", "from msgpack import packb"),
    ],
)
def test_an_upward_import_is_found(path: str, source: str) -> None:
    assert violations(source, path)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("streamlstm/kernels/made_up.py", "from .simd import LANES\nfrom . import layout"),
        ("streamlstm/engine/engine.py", "from ..network.model import Model"),
        ("streamlstm/serving/made_up.py", "from streamlstm import Engine, __version__\nimport zmq"),
        ("examples/plain_client.py", "import msgpack, zmq"),
    ],
)
def test_a_downward_import_is_not(path: str, source: str) -> None:
    assert violations(source, path) == []


@pytest.mark.parametrize(
    ("source", "is_circle"),
    [
        ("from .b import y", True),
        ("from . import b", True),
        ("def f():\n    from .b import y", True),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .b import y", False),
        ("from .c import y", False),
    ],
)
def test_a_circle_of_files_is_found(source: str, is_circle: bool) -> None:
    folder = "streamlstm/engine"
    files = {f"{folder}/a.py": source, f"{folder}/b.py": "from .a import x", f"{folder}/c.py": ""}
    found = circle(files)
    assert len(found) == (2 if is_circle else 0), found


def test_importing_the_package_loads_nothing_heavy() -> None:
    program = (
        "import sys, streamlstm, streamlstm.cli; "
        "heavy = ('numba', 'llvmlite', 'zmq', 'numpy', 'torch', 'pyarrow'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert shown.stdout.strip() == "[]"
