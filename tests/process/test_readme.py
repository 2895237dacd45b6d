"""Every command and program of the README works as printed."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import readme

from .conftest import FREE_PORTS, WorkerProcess

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
DEFAULT_ROUTER = "tcp://127.0.0.1:7450"


def blocks(language: str, *, about: str) -> list[str]:
    return [text for name, text in BLOCKS if name == language and about in text]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place that looks like the repository, where the examples may write."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("streamlstm", "examples"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def run(command: list[str], folder: Path) -> str:
    # PYTHONSAFEPATH: the package that is installed, and not the link to it in `folder`.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shown = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert shown.returncode == 0, f"{command}\n{shown.stdout}\n{shown.stderr}"
    assert "Traceback" not in shown.stderr
    return shown.stdout


@pytest.fixture(scope="module")
def trained(folder: Path) -> Path:
    """What the README's training commands make."""
    (commands,) = blocks("sh", about="streamlstm train")
    run(["bash", "-ec", commands], folder)
    return folder / "model.safetensors"


@pytest.fixture(scope="module")
def worker(trained: Path) -> Iterator[WorkerProcess]:
    process = WorkerProcess(trained)
    yield process
    process.stop()


def test_the_make_commands(root):
    (commands,) = blocks("sh", about="make demo")
    for command in commands.split("\n"):
        if command:
            run([*command.split(), "--dry-run"], root)


def test_the_training_commands(trained, folder):
    assert trained.stat().st_size > 1000
    header, *rows = (folder / "predictions.csv").read_text().splitlines()
    assert "value" in header
    assert len(rows) > 10_000


def test_the_first_program(folder):
    (program,) = blocks("python", about="engine.step(")
    assert len(run([sys.executable, "-c", program], folder).splitlines()) == 3


@pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="needs PyTorch: make test-all"
)
def test_bringing_a_model(folder):
    import streamlstm as sl

    (program,) = blocks("python", about="import torch")
    run([sys.executable, "-c", program], folder)
    assert sl.Model.load(folder / "mine.safetensors").input_size == 8


def test_running_and_publishing(trained, folder):
    """The default ports may be taken while tests run, so the system chooses others here."""
    (commands,) = blocks("sh", about="streamlstm serve")
    ports = " ".join(f"'{part}'" for part in FREE_PORTS)
    until_ready = "until [ -e worker.json ]; do read -rt 0.1 <> <(:) || :; done"
    commands = commands.replace(
        "streamlstm serve model.safetensors &",
        f"streamlstm serve model.safetensors {ports} --endpoints worker.json &\n{until_ready}",
    )
    for command in ("publish --host", "info"):
        commands = commands.replace(f"streamlstm {command}", f"streamlstm {command} {{}}")
    shown = run(["bash", "-emc", commands.replace("{}", "--endpoints worker.json")], folder)
    assert "memory" in shown
    assert "value" in shown


def test_the_client(worker, folder):
    (program,) = blocks("python", about="Client(")
    assert DEFAULT_ROUTER in program
    program = program.replace(DEFAULT_ROUTER, worker.endpoints["router"])
    assert re.fullmatch(r"\[[-0-9.e]+\]\n", run([sys.executable, "-c", program], folder))


def test_every_block_is_tested():
    """Those of a fleet in test_fleet_doc.py."""
    known = (
        "make demo",
        "make live",
        "train",
        "serve",
        "engine.step(",
        "import torch",
        "Client(",
        "fleet",
    )
    assert all(any(word in text for word in known) for _, text in BLOCKS)


def test_every_file_that_is_named_exists(root):
    named = re.findall(r"\]\(([\w./-]+)\)|`((?:docs|examples)/[\w./-]+)`", README)
    assert named
    missing = [name for pair in named for name in pair if name and not (root / name).exists()]
    assert missing == []


RESULT = {
    "bench": "steps",
    "machine": {"processor": "made up", "cores": 2, "numba": "1.2", "torch": "not installed"},
    "rows": [{"what": "one stream", "us": 1.234, "peer": None}, {"what": "many", "us": 123.4}],
    "ratios": {"torch / ours": 46.3333},
}


def test_figures_are_written_between_the_markers():
    figures = readme.render(json.loads(json.dumps(RESULT)))
    assert figures.splitlines() == [
        "**steps** on made up, 2 cores (numba 1.2, torch not installed)",
        "",
        "| what | us | peer |",
        "| --- | ---: | ---: |",
        "| one stream | 1.23 | - |",
        "| many | 123 | - |",
    ]
    assert readme.render(RESULT, ["us"]).splitlines()[-1] == "| 123 |"
    once = readme.insert(README, figures)
    assert figures in once
    assert readme.insert(once, figures) == once
    assert once.partition(readme.BEGIN)[0] == README.partition(readme.BEGIN)[0]
    assert once.partition(readme.END)[2] == README.partition(readme.END)[2]


@pytest.mark.parametrize("file", readme.FILES)
def test_the_figures_are_those_of_the_results(file, tmp_path):
    """Where this fails: make figures."""
    (tmp_path / "page.md").write_text((ROOT / file).read_text())
    readme.write(tmp_path / "page.md", readme.FILES[file], ROOT / "benchmarks/results")
    assert (tmp_path / "page.md").read_text() == (ROOT / file).read_text()


def test_a_readme_without_markers_is_refused():
    with pytest.raises(ValueError, match="expected the lines"):
        readme.insert("nothing here", "figures")
