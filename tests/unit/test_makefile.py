import os
import re
import shutil
import subprocess

import pytest

from tests.conftest import LONGEST

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


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


@pytest.mark.parametrize(("target", "chosen"), [("test", True), ("test-all", False)])
def test_all_tests_are_run_by_test_all(root, target, chosen):
    shown = subprocess.run(
        ["make", "--dry-run", target, "ARGS=-k engine"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout.splitlines()
    (command,) = [line for line in shown if "-m pytest" in line]
    assert command.endswith("-k engine")
    assert ('-m "not exhaustive"' in command) == chosen
    assert ('-m "not short"' in command) != chosen


def test_the_gate_runs_lint_and_all_tests(root):
    commands = re.findall(r"^make ([\w./-]+)", (root / ".ci/run").read_text(), re.MULTILINE)
    assert commands == [".venv/.base", ".venv/.all", "lint", "test-all"]


def test_files_that_take_longest_exist(root):
    assert [name for name in LONGEST if not (root / "tests" / name).exists()] == []


def test_processes_keep_what_python_compiles_whatever_an_image_says(root, tmp_path):
    """Each of the thousand processes of the tests would compile the package anew."""
    (tmp_path / "more").write_text("show:\n\t@env")
    shown = subprocess.run(
        ["make", "-s", "-f", "Makefile", "-f", str(tmp_path / "more"), "show"],
        cwd=root,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "PATH=" in shown.stdout
    assert "PYTHONDONTWRITEBYTECODE" not in shown.stdout
