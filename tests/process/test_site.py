"""The documentation as a site: it is built, its first pages work, no page names what is gone."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import streamlstm
from streamlstm.cli import app

from .conftest import FREE_PORTS
from .test_readme import ROOT, run

DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
START = sorted((DOCS / "start").glob("*.md"))
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
ENDS = {"|", ">", ">>", "<", "&", "&&", "||", ";", "2>"}  # of a command, in a shell


@pytest.mark.exhaustive
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "mkdocs", "build", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    commands = (tmp_path / "reference" / "commands.html").read_text()
    assert "streamlstm fleet status" in commands
    reference = (tmp_path / "reference" / "python.html").read_text()
    assert 'id="streamlstm.Engine.step_many"' in reference
    for page in tmp_path.rglob("*.html"):  # nothing is loaded from elsewhere
        assert not re.search(r'(?:src|href)="https?://[^"]*\.(?:js|css|woff2?)"', page.read_text())


def test_the_reference_has_all_that_is_public() -> None:
    listed = re.findall(
        r"^::: streamlstm\.(\w+)$", (DOCS / "reference" / "python.md").read_text(), re.M
    )
    errors = {"ConvertError", "StreamLSTMError"}  # in a section of their own
    assert {*listed} - {"errors"} == {*streamlstm.__all__} - errors - {"__version__"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place that looks like the repository, where the examples may write."""
    folder = tmp_path_factory.mktemp("start")
    for name in ("streamlstm", "examples"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.mark.parametrize("page", START, ids=[page.stem for page in START])
def test_the_first_pages_work_as_printed(page: Path, folder: Path) -> None:
    ports = shlex.join(FREE_PORTS)
    before: list[str] = []
    for language, text in BLOCK.findall(page.read_text()):
        if language == "sh":
            text = text.replace("serve ", f"serve {ports} ")
            before.append(text)
            if "worker.json" in text:
                (folder / "worker.json").unlink(missing_ok=True)
            said = run(["bash", "-emc", text], folder)
            assert said.strip()
        elif "worker.json" in text:  # a program for a worker that runs
            start, *_ = before[-1].partition("printf")
            program = f"{start}{shlex.join([sys.executable, '-c', text])}\nkill %1\n"
            run(
                ["bash", "-emc", program.replace(" --endpoints", " --store lmdb:kept --endpoints")],
                folder,
            )
        else:
            assert run([sys.executable, "-c", text], folder).strip()


def commands_of(page: Path) -> list[list[str]]:
    """Return the arguments of each complete ``streamlstm`` command of a page."""
    found = []
    for language, text in BLOCK.findall(page.read_text()):
        if language not in ("sh", "text", ""):
            continue
        for line in text.replace("\\\n", " ").splitlines():
            for command in re.findall(r"(?:^|[|;&(] ?|\$ )streamlstm ([^|;&#)]*)", line):
                if "..." not in command and "[" not in command:
                    found.append(shlex.split(command.replace("'\\''", "")))
    return found


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_the_options_of_every_command_exist(page: Path) -> None:
    top = typer.main.get_command(app)
    for arguments in commands_of(page):
        words = arguments[: next((n for n, w in enumerate(arguments) if w in ENDS), None)]
        command, name = top, "streamlstm"
        while hasattr(command, "commands"):
            assert words, name
            if (part := command.commands.get(words[0])) is None:  # `fleet MODEL`
                part = command.commands.get("on-ray" if "--ray" in words else "serve")
            else:
                words = words[1:]
            assert part is not None, f"{name} {words}"
            command, name = part, f"{name} {part.name}"
        parameters = list(command.params)
        if command.context_settings.get("ignore_unknown_options"):  # it passes them on
            parameters += top.commands["serve"].params
        known = {option for each in parameters for option in (*each.opts, *each.secondary_opts)}
        for word in words:
            if word.startswith("--"):
                assert word.partition("=")[0] in known, f"{name}: {word} in {shlex.join(arguments)}"
