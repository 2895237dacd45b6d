"""Every command and program of docs/online.md works as printed, and its tables are complete."""

import re
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from streamlstm import Model, Online
from streamlstm.engine.prediction import Prediction

from .test_readme import ROOT, run

PAGE = (ROOT / "docs" / "online.md").read_text()
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PROGRAMS = [text for language, text in BLOCKS if language == "python"]
COMMANDS = [text for language, text in BLOCKS if language == "sh"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place that looks like the repository, where the examples may write."""
    folder = tmp_path_factory.mktemp("online")
    for name in ("streamlstm", "examples"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.mark.parametrize("n", range(len(PROGRAMS)))
def test_a_program(folder: Path, n: int) -> None:
    said = run([sys.executable, "-c", PROGRAMS[n]], folder)
    if n == 0:  # the first program: a missing value, and a spike
        missing, alarm = said.splitlines()
        assert missing.startswith("500 ")
        assert "filled=1" in missing
        assert alarm.startswith("900 ")
        assert "alarm=True" in alarm


@pytest.mark.parametrize("n", range(len(COMMANDS)))
def test_commands(folder: Path, n: int) -> None:
    said = run(["bash", "-ec", COMMANDS[n]], folder)
    if "detect" in COMMANDS[n]:
        assert "alarms" in said
        assert (folder / "scores.csv").stat().st_size > 100_000
    else:
        online = Model.load(folder / "better.safetensors").online
        assert online == Online(intervals=(0.5, 0.9), anomaly=True)


def test_every_option_is_explained() -> None:
    first = PAGE.split("## The options of Online")[1].split("## What observe")[0]
    named = set(re.findall(r"`(\w+)=", first))
    assert named >= {field.name for field in fields(Online)} - {"calendar", "transitions"}


def test_every_attribute_of_a_prediction_is_explained() -> None:
    section = PAGE.split("## What observe returns")[1].split("## ")[0]
    parts = {name for name in dir(Prediction) if not name.startswith("_")}
    assert parts <= set(re.findall(r"`(\w+)[`(]", section))


@pytest.mark.parametrize("name", ["plant", "late_labels"])
def test_the_help_of_an_example(name: str) -> None:
    assert "usage: " in run([sys.executable, str(ROOT / f"examples/{name}.py"), "--help"], ROOT)


def test_a_plant_in_which_one_machine_fails() -> None:
    said = run([sys.executable, str(ROOT / "examples/plant.py"), "--days", "2"], ROOT)
    *alarms, last = said.splitlines()
    assert any(re.match(r"day 2 00:\d\d  machine-3 +missing", line) for line in alarms)
    assert any(re.match(r"day 2 2[1-3]:\d\d  machine-7 ", line) for line in alarms)
    found = re.search(r"(\d+) alarms; ([\d.]+)% of ([\d,]+) values", last)
    assert found is not None
    assert int(found[1]) == len(alarms) <= 6
    assert 87 <= float(found[2]) <= 93


def test_late_labels_are_learned() -> None:
    said = run([sys.executable, str(ROOT / "examples/late_labels.py"), "--steps", "1500"], ROOT)
    first, last, refused = (float(line.split(": ")[1]) for line in said.splitlines())
    assert last < 0.5 * first
    assert refused > 5


def test_what_the_page_links_to_exists() -> None:
    named = re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", PAGE)
    assert named
    assert [name for name in named if not (ROOT / "docs" / name).exists()] == []
