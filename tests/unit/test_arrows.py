"""Who may know whom: every import of the project points downward (DESIGN section 3)."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Each part of the house and the parts it may import. A part may always import itself.
# What a network is: known to all above kernels.
_BASE = {"errors", "files", "activations", "layers", "model", "modelfile"}
_STATE = {"pages", "state", "blocks", "packing", "precision", "plan", "blob", "observations"}
_STATE |= {"compiling", "backends", "check", "held", "lent", "stream", "explain", "changes"}
_STATE |= {"listing", "owners", "idle", "anew", "compatible", "reloading"}
_CORE = _BASE | _STATE | {"kernels", "engine", "wire"}
_TOP = _CORE | {"version", "client", "aio", "serving", "learn", "convert", "series", "host"}
_TOP |= {"inside", "publisher", "async_engine", "keys", "replaying", "async_replaying"}
ALLOWED: dict[str, set[str]] = {
    "kernels": set(),
    "errors": set(),
    "files": set(),
    "version": set(),
    **dict.fromkeys(("activations", "layers", "modelfile", "series"), _BASE),
    "model": _BASE | {"convert", "check"},  # Model.to_onnx and Model.check, when they are called
    "host": {"errors"},
    "pages": set(),
    "held": set(),
    "anew": set(),
    "compatible": _BASE,
    "reloading": _BASE | {"backends", "compatible", "pages", "plan", "state"},
    "state": _BASE | {"anew", "kernels", "pages"},
    "blocks": {"state"},
    "listing": {"state"},
    "owners": {"held", "pages", "state"},
    "blob": _BASE | {"kernels", "state"},
    "precision": _BASE | {"kernels"},
    "packing": _BASE | {"kernels", "precision"},
    "compiling": {"kernels"},
    "plan": _BASE | {"kernels", "packing", "pages"},
    "observations": _BASE | {"state"},
    "backends": _BASE | {"plan", "pages", "precision", "compiling", "kernels", "cuda_backend"},
    "device_rows": {"errors", "kernels"},
    "cuda_backend": _BASE
    | {"plan", "kernels", "device_rows", "cuda_launch", "cuda_buffers", "cuda_graph"},
    "cuda_launch": {"plan", "kernels", "cuda_graph"},
    "cuda_buffers": {"cuda_graph"},
    "cuda_graph": {"kernels"},
    "lent": {"backends", "held", "state"},
    "idle": {"kernels", "held", "state"},
    "changes": {"errors", "kernels", "pages", "held", "blocks", "state"},
    "check": _BASE | {"plan", "precision", "backends"},
    "stream": _BASE | {"state", "observations", "engine"},  # engine for its type only
    "explain": _BASE | {"plan", "backends"},
    "engine": _BASE | _STATE | {"kernels"},
    "async_engine": {"errors", "state", "observations", "engine"},
    "wire": _BASE | _STATE,
    "learn": _BASE | {"kernels", "plan", "series"},
    "convert": _BASE | {"kernels", "plan", "backends"},  # the reference: what a network computes
    "keys": {"errors"},
    "handshake": {"keys"},
    "connection": _BASE | {"state", "observations", "wire", "keys", "handshake"},
    "pipeline": {"errors", "connection", "handshake"},
    "batching": {"errors", "wire", "connection"},
    "publisher": {"errors", "wire", "connection", "batching"},
    "kept": {"errors", "wire"},
    "journal": {"errors", "wire"},
    "link": {"connection"},
    "replay": {"errors", "keys", "handshake", "wire", "connection", "kept", "journal", "link"},
    "replaying": _BASE | {"state", "wire", "connection", "replay"},
    "async_replaying": _BASE | {"state", "wire", "connection", "replay"},
    "client": _BASE | {"state", "wire", "connection", "pipeline", "publisher"},
    "aio": _BASE | {"keys", "state", "wire", "connection", "pipeline", "batching"},
    "serving": _CORE | {"version", "keys", "handshake"},
    "inside": _BASE | {"engine"},
    "cli": _TOP | {"replay"},  # publish --replay reads what a journal holds
    "__main__": {"cli"},
    "workers": _TOP | {"cli"},
    "examples": _TOP,
    "benchmarks": _TOP | {"cuda_backend"},
}
# Packages that one part knows for all others, and the parts that do.
KEEPERS: dict[str, set[str]] = {
    "msgpack": {"wire"},
    "zmq": {"serving", "keys", "handshake", "connection", "pipeline", "publisher", "replay"}
    | {"replaying", "async_replaying", "client", "aio", "cli", "benchmarks"},
    "lmdb": {"serving"},
    "redis": {"serving"},
    "psutil": {"host", "serving", "examples", "benchmarks"},
    "safetensors": {"modelfile", "convert"},
    "llvmlite": {"kernels", "benchmarks"},
    "prometheus_client": {"serving"},
    "typer": {"cli"},
    "matplotlib": {"inside"},
    "torch": {"convert", "benchmarks", "examples"},
    "keras": {"convert", "benchmarks"},
    "h5py": {"convert"},
    "onnx": {"convert", "benchmarks"},
    "onnxruntime": {"benchmarks"},
}
# Written without our wire, to show that the protocol can be spoken with pyzmq and msgpack alone, or
# what it costs to do so.
PLAIN = {
    "examples/plain_client.py": {"msgpack", "zmq"},
    "benchmarks/live/plain_worker.py": {"msgpack"},
}


def part_of(module: str) -> str:
    """Return the part of the house a module stands in: `streamlstm.cli.serve` is in `cli`."""
    names = module.split(".")
    if names[0] != "streamlstm":
        return names[0]
    if len(names) == 1 or names[1] == "__version__":
        return "version"
    return names[1]


def imports(source: str, module: str, is_package: bool = False) -> Iterator[tuple[str, int]]:
    """Yield every module that `source` imports, wherever in the file, with its line."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base += node.module.split(".") if node.module else []
            yield from ((".".join([*base, alias.name]), node.lineno) for alias in node.names)


def violations(source: str, path: str) -> list[str]:
    """Name every import of a file that does not point downward."""
    names = list(Path(path).with_suffix("").parts)
    is_package = names[-1] == "__init__"
    module = ".".join(names[:-1] if is_package else names)
    here = part_of(module)
    wrong = []
    for imported, line in imports(source, module, is_package):
        top = imported.split(".")[0]
        if top == "streamlstm":
            there = _resolve(imported)
            if there != here and there not in ALLOWED[here]:
                wrong.append(f"{path}:{line}: {here} may not import {there} ({imported})")
        elif top in KEEPERS and here not in KEEPERS[top] and top not in PLAIN.get(path, ()):
            keepers = ", ".join(sorted(KEEPERS[top]))
            wrong.append(f"{path}:{line}: only {keepers} may import {top}")
    return wrong


def _resolve(imported: str) -> str:
    """Find the part behind a public name: `streamlstm.Engine` stands in `engine`."""
    import streamlstm

    part = part_of(imported)
    return streamlstm._HOMES.get(part, part).split(".")[0]


def _files(root: Path) -> list[str]:
    folders = ("streamlstm", "workers", "examples", "benchmarks")
    found = (path for folder in folders for path in (root / folder).rglob("*.py"))
    paths = sorted(str(path.relative_to(root)) for path in found)
    paths.remove("streamlstm/__init__.py")  # names the public parts, each imported when first used
    return paths


def test_every_import_points_downward(root: Path) -> None:
    wrong = []
    for path in _files(root):
        wrong += violations((root / path).read_text(), path)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("streamlstm/kernels/made_up.py", "from ..errors import ShapeError"),
        ("streamlstm/kernels/made_up.py", "def f():\n    import streamlstm.engine"),
        ("streamlstm/engine/engine.py", "from . import wire"),
        ("streamlstm/engine/engine.py", "import msgpack"),
        ("streamlstm/engine/engine.py", "import zmq"),
        ("streamlstm/wire/reading.py", "from streamlstm.serving.worker import Worker"),
        ("streamlstm/serving/made_up.py", "from streamlstm.cli.console import err"),
        ("streamlstm/client/client.py", "from streamlstm import Engine"),
        ("streamlstm/client/pipeline.py", "from .client import Client"),
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
        ("streamlstm/engine/engine.py", "from .state import StateTable"),
        ("streamlstm/serving/made_up.py", "from streamlstm import Engine, __version__\nimport zmq"),
        ("examples/plain_client.py", "import msgpack, zmq"),
    ],
)
def test_a_downward_import_is_not(path: str, source: str) -> None:
    assert violations(source, path) == []


def test_importing_the_package_loads_nothing_heavy() -> None:
    program = (
        "import sys, streamlstm, streamlstm.cli; "
        "print([m for m in ('numba', 'llvmlite', 'zmq', 'numpy', 'torch') if m in sys.modules])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert shown.stdout.strip() == "[]"
