"""TensorFlow Lite files and frozen graphs give the numbers recorded by make_tensorflow.py."""

from pathlib import Path

import numpy as np
import pytest

import streamlstm as sl
from streamlstm.convert.load import load_any
from streamlstm.convert.tensorflow.graph_def import _array
from streamlstm.convert.tensorflow.protobuf import Message
from streamlstm.errors import ConvertError

pytest.importorskip("onnx", reason="needs onnx: make test")
FOLDER = Path(__file__).parent
FILES = sorted([*FOLDER.glob("tflite_*.tflite"), *FOLDER.glob("tensorflow_*.pb")])


def test_there_are_files_of_both_formats() -> None:
    assert len(FILES) == 7


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_windows_equal_the_recorded_outputs(path: Path) -> None:
    with np.load(FOLDER / "tensorflow.npz") as file:
        X, expected = file[f"{path.stem}.x"], file[f"{path.stem}.y"]
    model = load_any(path)
    assert model.window == X.shape[1]
    assert model.input_size == X.shape[2]
    engine = sl.Engine(model, len(X))
    found = np.stack([np.stack([engine.step(n, row) for row in x])[-1] for n, x in enumerate(X)])
    quantised = "quantised" in path.stem
    # TensorFlow Lite rounds all that such a network computes to 8 bits, which is not done here.
    assert np.median(np.abs(found - expected)) < (0.02 if quantised else 1e-6)
    assert quantised or np.max(np.abs(found - expected)) < 1e-5
    for words in ("Weights are quantised", "rounds to integers", "several steps of 0.0"):
        assert (words in model.metadata["notes"]) == quantised
    compared = sl.compare(model, path)
    assert compared.agrees
    assert ("without the rounding to integers" in compared.summary()) == quantised


@pytest.mark.parametrize("path", [FILES[0], FILES[-1]], ids=lambda path: path.suffix)
def test_a_damaged_file_is_refused(path: Path, tmp_path: Path) -> None:
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    target = tmp_path / f"m{path.suffix}"
    for n in range(40):
        broken = bytearray(content[: int(rng.integers(100, len(content)))] if n % 2 else content)
        for place in rng.integers(8, len(broken), 20):
            broken[place] = int(rng.integers(0, 256))
        target.write_bytes(bytes(broken))
        try:
            load_any(target)
        except ConvertError as error:
            text = str(error)
            assert str(target) in text


def test_variables_that_are_not_in_the_graph_are_named(tmp_path: Path) -> None:
    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    def node(name: bytes, op: bytes, *inputs: bytes) -> bytes:
        rest = b"".join(field(3, i) for i in inputs)
        return field(1, field(1, name) + field(2, op) + rest)

    path = tmp_path / "graph.pb"
    path.write_bytes(
        node(b"x", b"Placeholder") + node(b"w", b"VariableV2") + node(b"y", b"Mul", b"x", b"w")
    )
    with pytest.raises(ConvertError, match=r"variables, such as w, are not in the file: freeze"):
        load_any(path)


def test_an_empty_constant_is_no_damage() -> None:
    """Type int32 and a shape of one axis, of length 0, as of the axes of a number."""
    empty = Message(b"\x08\x03\x12\x04\x12\x02\x08\x00")
    assert _array(empty).shape == (0,)
