import re
import shutil
import subprocess

import pytest

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def test_make_help_lists_every_target(root):
    text = (root / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert targets is not None
    shown = subprocess.run(
        ["make", "help"], cwd=root, capture_output=True, text=True, check=True, timeout=30
    ).stdout
    listed = re.findall(r"^  ([a-z-]+)  +\S", shown, re.MULTILINE)
    assert sorted(listed) == sorted(targets[1].split())


def test_make_without_a_target_is_help(root):
    plain, asked = (
        subprocess.run(
            ["make", *arguments], cwd=root, capture_output=True, text=True, check=True, timeout=30
        ).stdout
        for arguments in ([], ["help"])
    )
    assert plain == asked


def test_arguments_reach_the_demo(root):
    shown = subprocess.run(
        ["make", "--dry-run", "demo", "ARGS=--seconds 5 --json out.json"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert "workers/demo.py --seconds 5 --json out.json\n" in shown.stdout
