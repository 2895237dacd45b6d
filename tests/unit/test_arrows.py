"""Who may know whom: packages import downward only, and no files import each other in a circle."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

# Each package and what it may import of the others: only what stands above it, so that there is no
# circle. `errors` is known to all, and a package to itself.
MAY_IMPORT = {
    "errors": "",
    "files": "",
    "lazy_arrays": "",
    "kernels": "",
    "network": "files",
    "backends": "network kernels lazy_arrays",
    "data": "",
    "wire": "",
    "engine": "backends network kernels lazy_arrays",
    "learn": "network",
    "convert": "backends network kernels",
    "client": "engine wire",
    "serving": "client engine wire backends network kernels lazy_arrays",
    "inside": "engine network",
    "cli": "inside serving convert learn client engine wire data backends network kernels files",
    "__main__": "cli",
    "workers": "cli serving client engine wire data network files",
    "examples": "inside client engine wire data network",
    "benchmarks": "serving convert learn client engine wire data backends network kernels",
}
# Packages of others, and who alone may import them.
ONLY = {
    "msgpack": "wire",
    "zmq": "client serving cli benchmarks",
    "numba": "kernels backends learn serving benchmarks",
    "llvmlite": "kernels benchmarks",
    "safetensors": "network convert",
    "lmdb": "serving",
    "redis": "serving",
    "prometheus_client": "serving",
    "psutil": "data serving examples benchmarks",
    "typer": "cli",
    "matplotlib": "inside",
    "torch": "convert benchmarks examples",
    "keras": "convert benchmarks",
    "h5py": "convert",
    "onnx": "convert benchmarks",
    "onnxruntime": "benchmarks",
}
# Written without our wire, to show that the protocol can be spoken with pyzmq and msgpack alone, or
# what it costs to do so.
EXCEPT = {
    ("examples/plain_client.py", "msgpack"),
    ("examples/plain_client.py", "zmq"),
    ("benchmarks/live/plain_worker.py", "msgpack"),
}


class Import(NamedTuple):
    """One import: the module, or the module and a name in it; typing_only: of type checkers."""

    module: str
    line: int
    typing_only: bool


def imports(source: str, module: str, is_package: bool = False) -> Iterator[Import]:
    """Yield every module that `source` imports, wherever in the file."""
    package = module.split(".") if is_package else module.split(".")[:-1]

    def visit(node: ast.AST, typing_only: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, typing_only) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base += node.module.split(".") if node.module else []
            for alias in node.names:
                yield Import(".".join([*base, alias.name]), node.lineno, typing_only)
        for child in ast.iter_child_nodes(node):
            guarded = isinstance(node, ast.If) and child in node.body and _asks_for_types(node.test)
            yield from visit(child, typing_only or guarded)

    yield from visit(ast.parse(source), False)


def _asks_for_types(test: ast.expr) -> bool:
    return ast.unparse(test).removeprefix("typing.") == "TYPE_CHECKING"


def package_of(module: str) -> str:
    """Return the package of a module; a public name stands where `streamlstm` takes it from."""
    import streamlstm

    names = module.split(".")
    if names[0] != "streamlstm":
        return names[0]
    if len(names) == 1 or names[1] == "__version__":
        return "errors"  # the version is known to all, too
    return streamlstm._HOMES.get(names[1], names[1]).split(".")[0]


def violations(source: str, path: str) -> list[str]:
    """Name every import of a file that does not point downward."""
    module, is_package = _module(path)
    here = package_of(module)
    allowed, wrong = {here, "errors", *MAY_IMPORT[here].split()}, []
    for imported, line, _ in imports(source, module, is_package):
        top = imported.split(".")[0]
        if top == "streamlstm" and package_of(imported) not in allowed:
            wrong.append(f"{path}:{line}: {here} may not import {imported}")
        elif top in ONLY and here not in ONLY[top].split() and (path, top) not in EXCEPT:
            wrong.append(f"{path}:{line}: only {ONLY[top]} may import {top}")
    return wrong


def circles(sources: dict[str, str]) -> list[list[str]]:
    """Return the files, by path, that import each other in a circle; for types alone they may."""
    modules = {_module(path)[0]: path for path in sources}
    knows: dict[str, set[str]] = {}
    for path, source in sources.items():
        found = [i for i in imports(source, *_module(path)) if not i.typing_only]
        names = (i.module if i.module in modules else i.module.rpartition(".")[0] for i in found)
        knows[path] = {modules[name] for name in names if name in modules} - {path}
    while knows:
        known = set().union(*knows.values())
        outside = [p for p in knows if p not in known or not knows[p] & knows.keys()]
        if not outside:
            break
        for path in outside:
            del knows[path]
    return [sorted(knows)] if knows else []


def _module(path: str) -> tuple[str, bool]:
    names = list(Path(path).with_suffix("").parts)
    is_package = names[-1] == "__init__"
    return ".".join(names[:-1] if is_package else names), is_package


def _sources(root: Path) -> dict[str, str]:
    folders = ("streamlstm", "workers", "examples", "benchmarks")
    found = sorted(path for folder in folders for path in (root / folder).rglob("*.py"))
    sources = {str(path.relative_to(root)): path.read_text() for path in found}
    del sources["streamlstm/__init__.py"]  # names the public parts, each imported when first used
    return sources


def test_the_table_has_no_circle() -> None:
    above: set[str] = set()
    for package, known in MAY_IMPORT.items():
        assert above >= set(known.split()), package
        above.add(package)


def test_every_import_points_downward(root: Path) -> None:
    wrong = [w for path, source in _sources(root).items() for w in violations(source, path)]
    assert not wrong, "\n".join(wrong)


def test_every_package_has_a_row_and_needs_it(root: Path) -> None:
    used: dict[str, set[str]] = {}
    for path, source in _sources(root).items():
        module, is_package = _module(path)
        found = {i.module for i in imports(source, module, is_package)}
        ours = {package_of(name) for name in found if name.split(".")[0] == "streamlstm"}
        used.setdefault(package_of(module), set()).update(ours)
    assert used.keys() == MAY_IMPORT.keys()
    for package, known in MAY_IMPORT.items():
        if package not in ("workers", "examples", "benchmarks"):
            assert set(known.split()) <= used[package], f"{package} may import more than it does"


def test_no_files_import_each_other_in_a_circle(root: Path) -> None:
    assert circles(_sources(root)) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("streamlstm/kernels/made_up.py", "from ..errors.x import y\nfrom ..engine import engine"),
        ("streamlstm/kernels/made_up.py", "def f():\n    import streamlstm.engine"),
        ("streamlstm/network/model.py", "from ..backends.plan import compile_plan"),
        (
            "streamlstm/network/model.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..engine import engine",
        ),
        ("streamlstm/engine/engine.py", "from .. import wire"),
        ("streamlstm/engine/engine.py", "import msgpack"),
        ("streamlstm/engine/engine.py", "import zmq"),
        ("streamlstm/wire/reading.py", "from streamlstm.serving.worker import Worker"),
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
        ("streamlstm/engine/engine.py", "from .state_table import StateTable"),
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
        ("def f():\n    from . import b", True),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .b import y", False),
        ("from .c import y", False),
    ],
)
def test_a_circle_of_files_is_found(source: str, is_circle: bool) -> None:
    folder = "streamlstm/engine"
    files = {f"{folder}/a.py": source, f"{folder}/b.py": "from .a import x", f"{folder}/c.py": ""}
    assert bool(circles(files)) is is_circle


def test_importing_the_package_loads_nothing_heavy() -> None:
    program = (
        "import sys, streamlstm, streamlstm.cli; "
        "print([m for m in ('numba', 'llvmlite', 'zmq', 'numpy', 'torch') if m in sys.modules])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert shown.stdout.strip() == "[]"
