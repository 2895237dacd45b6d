"""docs/architecture.md shows the packages as they are, and names files that exist."""

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
