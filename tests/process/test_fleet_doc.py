"""The commands of docs/fleet.md work as printed, one after the other, in one fleet."""

import os
import re
import subprocess
import sys
from pathlib import Path

from .conftest import MODEL

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs/fleet.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)

UNTIL_READY = "until [ -e fleet.json ]; do read -rt 0.05 <> <(:) || :; done"


def test_the_commands(tmp_path: Path) -> None:
    MODEL.save(tmp_path / "model.safetensors")
    commands = "\n".join(BLOCKS).replace(" &\n", f" &\n{UNTIL_READY}\n", 1)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shown = subprocess.run(
        ["bash", "-emc", f"{commands}\nkill %1\nwait %1"],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert shown.returncode == 0, f"{shown.stdout}\n{shown.stderr}"
    assert "Traceback" not in shown.stderr


def test_the_readme_shows_the_first_of_them() -> None:
    assert f"```sh\n{BLOCKS[0]}```" in (ROOT / "README.md").read_text()
