"""Files are replaced atomically, and only regular files are written."""

import os
import stat
from pathlib import Path

import pytest

from streamlstm.cli.output_path import check_output
from streamlstm.errors import DataError, ModelFileError
from streamlstm.files import check_writable, replace_file

from ..contract.models import MODELS


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)  # as long as a name may be
    path.write_bytes(b"before")
    path.chmod(0o640)
    replace_file(path, b"after")
    assert path.read_bytes() == b"after"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "file", tmp_path / "link"
    link.symlink_to(target)
    for data in (b"new", b"newer"):
        assert check_writable(link) == target
        replace_file(link, data)
        assert link.is_symlink()
        assert target.read_bytes() == data


def odd_places(folder: Path) -> dict[str, Path]:
    os.mkfifo(folder / "pipe")
    (folder / "circle").symlink_to(folder / "circle")
    (folder / "device").symlink_to("/dev/full")
    return {
        "regular": folder / "pipe",
        "regular ": folder / "circle",
        "regular  ": folder / "device",
        "directory": folder,
        "no directory": folder / "no" / "file",
        "o": folder / ("x" * 300),  # in the system's words, whatever they are
    }


@pytest.mark.parametrize("at", range(6))
def test_a_file_that_cannot_be_replaced_is_refused_and_left_alone(tmp_path: Path, at: int) -> None:
    said, path = list(odd_places(tmp_path).items())[at]
    before = sorted(tmp_path.iterdir())
    for attempt in (check_writable, lambda path: replace_file(path, b"data")):
        with pytest.raises(OSError, match=r"."):
            attempt(path)
    with pytest.raises(DataError, match=f"--out .*{said.strip()}"):
        check_output("--out", path)
    with pytest.raises(ModelFileError):
        MODELS["odd"].save(path)
    assert sorted(tmp_path.iterdir()) == before
    assert stat.S_ISFIFO((tmp_path / "pipe").lstat().st_mode)
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


def test_an_input_is_not_overwritten(tmp_path: Path) -> None:
    data, link = tmp_path / "data.csv", tmp_path / "link"
    data.write_text("x\n")
    link.symlink_to(data)
    for path in (data, link):
        with pytest.raises(DataError, match="the file with the data"):
            check_output("--out", path, model=tmp_path / "model", data=data)
    check_output("--out", data, data="-")
