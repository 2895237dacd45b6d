"""Formats are detected by the content of a file, whatever its name."""

import inspect
import json
import shutil
import zipfile
from pathlib import Path

import pytest

import streamlstm as sl
from streamlstm.convert.detect import detect
from streamlstm.convert.formats import FORMATS, load_function
from streamlstm.convert.load import load_any
from streamlstm.errors import ConvertError

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("keras3_lstm_stack.keras", "keras"),
        ("keras2_gru_before.h5", "keras"),
        ("rtneural_lstm.json", "rtneural"),
        ("aidax_gains.json", "rtneural"),
        ("guitarml_gru.json", "guitarml"),
        ("tflite_lstm_fused.tflite", "tflite"),
        ("tensorflow_lstm.pb", "tensorflow"),
    ],
)
def test_a_format_is_detected_under_any_name(tmp_path: Path, name: str, kind: str) -> None:
    for ending in ("", ".onnx", ".pt"):
        path = tmp_path / f"network{ending}"
        shutil.copy(GOLDEN / name, path)
        assert detect(path) == kind
    assert load_any(path).fingerprint == load_any(GOLDEN / name).fingerprint


def test_options_of_the_caller_override_the_file() -> None:
    for name in ("keras3_lstm_last.h5", "aidax_skip.json", "guitarml_lstm.json"):
        found = load_any(GOLDEN / name)
        inputs = [f"in {n}" for n in range(found.input_size)]
        more = {"skip": None, "horizon": 3, "metadata": {"plant": "north"}}
        model = load_any(GOLDEN / name, inputs=inputs, **more)
        assert model.inputs == tuple(inputs)
        assert (model.skip, model.horizon) == (None, 3)
        assert model.metadata.items() > found.metadata.items()
        assert model.metadata["plant"] == "north"


def test_a_model_file_and_onnx_are_detected(tmp_path: Path) -> None:
    model = sl.from_rtneural(GOLDEN / "rtneural_lstm.json")
    model.save(tmp_path / "m.safetensors")
    assert detect(tmp_path / "m.safetensors") == "streamlstm"
    assert load_any(tmp_path / "m.safetensors").fingerprint == model.fingerprint
    pytest.importorskip("onnx", reason="needs onnx: make test")
    sl.to_onnx(model, tmp_path / "m.bin")
    assert detect(tmp_path / "m.bin") == "onnx"
    assert load_any(tmp_path / "m.bin").layers == model.layers


def test_files_of_torch_are_detected(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: make test-all")
    module = torch.nn.Sequential(torch.nn.GRU(2, 3), torch.nn.Linear(3, 1))
    torch.save(module.state_dict(), tmp_path / "new")
    torch.save(module.state_dict(), tmp_path / "old", _use_new_zipfile_serialization=False)
    for name in ("new", "old"):
        assert detect(tmp_path / name) == "torch"
        assert len(sl.load_any(tmp_path / name).layers) == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"hello, world", "is no network"),
        (b"[project]\nname = 1", "is no network"),
        (b"x,y\n1,2\n", "is no network"),
        (b"{", "expected JSON"),
        (b'{"a": 1}', "JSON of another kind (a)"),
        (b"PK\x03\x04 and no more", "damaged"),
        (json.dumps({"class_name": "Sequential"}).encode(), "without its weights"),
    ],
)
def test_anything_but_a_network_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ConvertError) as caught:
        detect(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_folders_and_other_zips_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match="SavedModel"):
        detect(tmp_path)
    with pytest.raises(ConvertError, match="no such file"):
        detect(tmp_path / "absent")
    for member, words in (
        ("readme", "zip archive of another kind"),
        ("m/models/model.json", r"a program of torch\.export"),
    ):
        with zipfile.ZipFile(tmp_path / "z", "w") as archive:
            archive.writestr(member, "")
        with pytest.raises(ConvertError, match=words):
            detect(tmp_path / "z")


def test_the_table_lists_the_options_of_each_reader(tmp_path: Path) -> None:
    made_otherwise = {"layers", "weights", "online", "lags", "lag_weights"}
    made_otherwise |= {"input_offsets", "output_offsets"}
    shared = set(inspect.signature(sl.Model).parameters) - made_otherwise
    for kind, format_ in FORMATS.items():
        if kind == "streamlstm":
            assert not format_.options
            continue
        reader = getattr(sl, f"from_{kind}")
        assert load_function(format_.reader) is reader
        assert callable(load_function(format_.evaluators))
        own = inspect.signature(reader).parameters.values()
        named = {p.name for p in own if p.kind is inspect.Parameter.KEYWORD_ONLY}
        assert set(format_.options) == named | shared


def test_an_option_of_another_format_is_refused() -> None:
    with pytest.raises(ConvertError, match=r"epsilon= does not apply to JSON of GuitarML, which"):
        load_any(GOLDEN / "guitarml_gru.json", epsilon=1e-3)
