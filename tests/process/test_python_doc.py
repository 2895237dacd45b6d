"""The programs of docs/python.md, one after the other, work as printed."""

import re
import sys
from pathlib import Path

from .test_readme import ROOT, run

PAGE = (ROOT / "docs" / "python.md").read_text()
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_programs(tmp_path: Path) -> None:
    said = run([sys.executable, "-c", "\n".join(PROGRAMS)], tmp_path)
    assert "mean error of value" in said
    assert "value_low_90" in said
    assert "MAE: 0." in said
    assert (tmp_path / "model.safetensors").exists()
