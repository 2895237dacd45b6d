"""Model files: what is saved is loaded; whatever else is refused with a reason."""

import json
import os
import pickle
import socket
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save, save_file

from streamlstm import Model
from streamlstm.errors import ModelFileError

from ..contract.models import MODELS


@pytest.mark.parametrize("name", MODELS)
def test_what_is_saved_is_loaded(name: str, tmp_path: Path) -> None:
    model = MODELS[name]
    path = tmp_path / "model.safetensors"
    model.save(path)
    loaded = Model.load(path)
    assert loaded.fingerprint == model.fingerprint
    assert loaded.specification() == model.specification()
    for key, array in model.arrays().items():
        assert np.array_equal(loaded.arrays()[key], array)
    assert list(tmp_path.iterdir()) == [path]


def test_metadata_and_names_are_kept(tmp_path: Path) -> None:
    base = MODELS["odd"]
    model = Model(
        base.layers, base.weights, inputs=["ü", "b", "c"], metadata={"trained on": "a.csv"}
    )
    model.save(tmp_path / "m")
    loaded = Model.load(str(tmp_path / "m"))
    assert loaded.metadata == {"trained on": "a.csv"}
    assert loaded.inputs == ("ü", "b", "c")


def test_a_file_without_skip_scale_is_that_of_a_model_without_it(tmp_path: Path) -> None:
    from safetensors import safe_open

    for name, there in (("odd", False), ("skip with factors", True)):
        MODELS[name].save(tmp_path / name)
        with safe_open(str(tmp_path / name), framework="numpy") as file:
            assert ("skip_scale" in file.keys()) is there  # noqa: SIM118
        assert (Model.load(tmp_path / name).skip_scale is not None) is there


def rewrite(path: Path, **changes: str | None) -> None:
    model = MODELS["odd"]
    header = {
        "format": "streamlstm",
        "version": "1",
        "specification": json.dumps(model.specification()),
        "metadata": "{}",
        "fingerprint": model.fingerprint,
    }
    for key, value in changes.items():
        header.pop(key) if value is None else header.update({key: value})
    path.write_bytes(save(model.arrays(), metadata=header))


def test_rewrite_itself_makes_a_good_file(tmp_path: Path) -> None:
    rewrite(tmp_path / "m")
    Model.load(tmp_path / "m")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": None}, "not one that streamlstm wrote"),
        ({"format": "pt"}, "not one that streamlstm wrote"),
        ({"version": "7"}, "format version 7, .* install a newer"),
        ({"version": "old"}, "expected a format version"),
        ({"version": None}, "expected a format version"),
        ({"specification": None}, "description is damaged"),
        ({"specification": "{"}, "description is damaged"),
        ({"specification": "[]"}, "description is damaged"),
        ({"specification": "[" * 100_000}, "description is damaged"),
        ({"fingerprint": None}, "description is damaged"),
        ({"fingerprint": "0" * 32}, "is damaged: its content"),
        ({"specification": '{"layers": []}'}, "description is damaged"),
    ],
)
def test_a_wrong_description_is_refused(
    tmp_path: Path, changes: dict[str, str | None], words: str
) -> None:
    rewrite(tmp_path / "m", **changes)
    with pytest.raises(ModelFileError, match=words):
        Model.load(tmp_path / "m")


def test_arrays_that_are_missing_or_too_many_are_named(tmp_path: Path) -> None:
    model = MODELS["odd"]
    header = {
        "format": "streamlstm",
        "version": "1",
        "specification": json.dumps(model.specification()),
        "fingerprint": model.fingerprint,
    }
    arrays = model.arrays()
    save_file({**arrays, "extra": np.zeros(1)}, tmp_path / "more", metadata=header)
    with pytest.raises(ModelFileError, match="arrays that no layer has: extra"):
        Model.load(tmp_path / "more")
    del arrays["layers.0.bias"]
    save_file(arrays, tmp_path / "less", metadata=header)
    with pytest.raises(ModelFileError, match=r"layers\.0\.bias is missing"):
        Model.load(tmp_path / "less")


def test_what_is_no_model_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m"
    with pytest.raises(ModelFileError, match="cannot be read"):
        Model.load(path)
    with pytest.raises(ModelFileError, match="a directory"):
        Model.load(tmp_path)
    for content in (b"", b"time,value\n1,2\n", pickle.dumps({"a": 1}), b"\xff" * 64, b"\0" * 8):
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match="damaged or of another kind"):
            Model.load(path)


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelFileError, match="this is a pipe"):
        Model.load(tmp_path / "pipe")
    with pytest.raises(ModelFileError, match="this is a device"):
        Model.load("/dev/zero")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        with pytest.raises(ModelFileError, match="cannot be read"):
            Model.load(tmp_path / "socket")


def test_gigabytes_are_refused_before_they_are_read(tmp_path: Path) -> None:
    """Whatever the first bytes promise; the files here have holes and take no space."""
    path, gigabytes = tmp_path / "m", 2**33
    path.touch()
    os.truncate(path, gigabytes)
    with pytest.raises(ModelFileError, match=f"a header of 0 bytes in a file of {gigabytes}"):
        Model.load(path)
    rewrite(path)
    content = path.read_bytes()
    with path.open("r+b") as file:
        file.truncate(gigabytes)
    with pytest.raises(ModelFileError, match=f"it has {gigabytes}"):
        Model.load(path)
    # a header that describes them, of an array that no layer has
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    data = len(content) - 8 - length
    header["extra"] = {"dtype": "U8", "shape": [gigabytes], "data_offsets": [data, gigabytes]}
    written = json.dumps(header).encode()
    path.write_bytes(len(written).to_bytes(8, "little") + written)
    os.truncate(path, 8 + len(written) + gigabytes)
    with pytest.raises(ModelFileError, match="bytes of arrays, its layers have at most"):
        Model.load(path)


def test_a_file_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be written"):
        MODELS["odd"].save(tmp_path / "no" / "such" / "folder")


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_damage_goes_unseen(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged"
    rewrite(path)
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        del content[position:]
    else:
        content[position] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        loaded = Model.load(path)
    except ModelFileError:
        return
    assert loaded.fingerprint == MODELS["odd"].fingerprint  # only metadata or padding was hit
