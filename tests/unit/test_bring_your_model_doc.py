"""The table of docs/bring-your-model.md names functions and options that are there."""

import re
from pathlib import Path

import streamlstm as sl

from .test_cli import run

PAGE = (Path(__file__).parents[2] / "docs" / "bring-your-model.md").read_text()
ROWS = re.findall(r"^\| (.*?) \| (.*) \|$", PAGE.split("One line converts")[0], re.MULTILINE)[1:]


def test_the_table_says_what_there_is() -> None:
    assert len(ROWS) > 12
    said = " ".join(answer for _, answer in ROWS)
    for name in re.findall(r"sl\.(\w+)", said):
        assert callable(getattr(sl, name))
    known = run("convert", "--help").stdout
    for option in set(re.findall(r"--[a-z-]+", said)):
        assert option in known, option
    headings = {
        re.sub(r"[^a-z -]", "", line.lower()).strip().replace(" ", "-")
        for line in PAGE.splitlines()
        if line.startswith("## ")
    }
    for anchor in re.findall(r"\]\(#([a-z-]+)\)", said):
        assert anchor in headings


def test_a_checked_file_remembers_what_was_compared(tmp_path: Path) -> None:
    golden = Path(__file__).parents[1] / "golden" / "keras3_lstm_last.h5"
    assert "layers and weights are all in the file" in sl.from_keras(golden).metadata["compared"]
    out = tmp_path / "m.safetensors"
    found = run("convert", str(golden), "--check", "--out", str(out))
    assert found.returncode == 0, found.stderr
    assert re.match(r"yes: .* of .* over ", sl.Model.load(out).metadata["compared"])
    assert "compared: yes: " in run("inspect", str(out), "--no-cost").stdout
