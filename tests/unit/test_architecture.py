"""docs/architecture.md shows the packages as they are, and names files that exist."""

import ast
import re
from pathlib import Path

import pytest

from docs import architecture


def test_the_picture_is_that_of_the_code() -> None:
    page = architecture.PAGE.read_text()
    assert architecture.page(page) == page, "the imports have changed: make architecture"


@pytest.mark.parametrize("page", ["architecture.md", "decisions/packages.md"])
def test_the_files_that_a_page_names_exist(page: str, root: Path) -> None:
    there = {str(path.relative_to(root)) for path in root.glob("*/**/*.py")}
    text = (root / "docs" / page).read_text()
    named = re.findall(
        r"`([a-z0-9_/]+\.py)`", re.sub(r"^\| [^|]* \|", "", text, flags=re.MULTILINE)
    )
    assert len(named) > 50
    missing = {name for name in named if not any(f"/{path}".endswith(f"/{name}") for path in there)}
    assert not missing


def test_no_place_of_a_table_has_the_name_of_another(root: Path) -> None:
    """Of ``A, B, A = range(3)`` the first A would be lost, and both be at the place of the last."""
    counted = 0
    for path in (root / "streamlstm").rglob("*layout.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Store):
                names = [name.id for name in node.elts if isinstance(name, ast.Name)]
                assert len(names) == len(set(names)), path
                counted += len(names)
    assert counted > 200
