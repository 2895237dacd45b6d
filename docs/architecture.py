"""Draw the packages and their imports into docs/architecture.md.

    python -m docs.architecture

Reads every import of the repository's own code, as text, and replaces what stands between two
markers: a picture, and a matrix with a row a package. tests/unit/test_arrows.py checks the imports
that are read here, and test_architecture.py that the picture is that of the code.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import streamlstm

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- picture: made by `make architecture` -->", "<!-- end of picture -->"
FOLDERS = ("streamlstm", "workers", "examples", "benchmarks")
WIDTH = 78


class Import(NamedTuple):
    """One import of a file.

    Attributes
    ----------
    name : str
        The module, or the module and a name in it, with dots.
    line : int
    typing_only : bool
        Whether it stands under ``if TYPE_CHECKING``.
    """

    name: str
    line: int
    typing_only: bool


@cache
def imports(source: str, path: str) -> tuple[Import, ...]:
    """Return every import of a file, wherever it stands in it."""
    module, is_package = module_of(path)
    package = module.split(".") if is_package else module.split(".")[:-1]

    def visit(node: ast.AST, typing_only: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, typing_only) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base += node.module.split(".") if node.module else []
            for alias in node.names:
                yield Import(".".join([*base, alias.name]), node.lineno, typing_only)
        guarded = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for child in ast.iter_child_nodes(node):
            in_body = guarded and isinstance(node, ast.If) and child in node.body
            yield from visit(child, typing_only or in_body)

    return tuple(visit(ast.parse(source), False))


def module_of(path: str) -> tuple[str, bool]:
    """Return the module that a file is, with dots, and whether it is a package's ``__init__``."""
    names = list(Path(path).with_suffix("").parts)
    is_package = names[-1] == "__init__"
    return ".".join(names[:-1] if is_package else names), is_package


def package_of(name: str) -> str:
    """Return the package of a module; a public name is one of the package that defines it."""
    names = name.split(".")
    if names[0] != "streamlstm":
        return names[0]
    if len(names) == 1 or names[1] == "__version__":
        return "errors"  # all packages know the version, as they know the errors
    return streamlstm._HOMES.get(names[1], names[1]).split(".")[0]


def sources() -> dict[str, str]:
    """Return the text of every file by its path from the root."""
    found = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    texts = {path.relative_to(ROOT).as_posix(): path.read_text() for path in found}
    del texts["streamlstm/__init__.py"]  # imports each public name when it is first used
    return texts


def known() -> dict[str, set[str]]:
    """Return for each package the others that it imports."""
    packages: dict[str, set[str]] = {}
    for path, source in sources().items():
        here = package_of(module_of(path)[0])
        ours = {i.name for i in imports(source, path) if i.name.split(".")[0] == "streamlstm"}
        packages.setdefault(here, set()).update({package_of(name) for name in ours} - {here})
    for package in set().union(*packages.values()):
        packages.setdefault(package, set())
    return packages


def levels(packages: dict[str, set[str]]) -> list[list[str]]:
    """Return the packages level by level: each imports only from levels above its own in the list.

    Raises
    ------
    ValueError
        If packages import each other in a circle.
    """
    placed: list[list[str]] = []
    left = set(packages)
    while left:
        level = sorted(package for package in left if not packages[package] & left)
        if not level:
            raise ValueError(f"packages import each other in a circle: {', '.join(sorted(left))}")
        placed.append(level)
        left -= set(level)
    return placed


def picture(packages: dict[str, set[str]]) -> str:
    """Return the levels as boxes, the top one imported by nobody, and the matrix under them."""
    placed = levels(packages)
    lines = []
    for level in reversed(placed):
        boxes = [f" {package} " for package in level]
        lines += [
            "   ".join(f"┌{'─' * len(box)}┐" for box in boxes).center(WIDTH).rstrip(),
            "   ".join(f"│{box}│" for box in boxes).center(WIDTH).rstrip(),
            "   ".join(f"└{'─' * len(box)}┘" for box in boxes).center(WIDTH).rstrip(),
        ]
    return "\n".join(["```text", *lines, "```", "", *_matrix(packages, placed)])


def _matrix(packages: dict[str, set[str]], placed: list[list[str]]) -> list[str]:
    order = [package for level in reversed(placed) for package in level]
    columns = [p for p in order if any(p in row for row in packages.values()) and p != "errors"]
    rows = [
        f"| **{package}** | {' | '.join('x' * (c in packages[package]) for c in columns)} |"
        for package in order
        if packages[package] - {"errors"}
    ]
    return [f"| imports | {' | '.join(columns)} |", f"| --- |{' :-: |' * len(columns)}", *rows]


def page(text: str) -> str:
    """Return the page with the picture of today's imports."""
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n\n{picture(known())}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
