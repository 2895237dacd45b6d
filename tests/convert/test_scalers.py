"""Scalers beside a network: JSON, scikit-learn's, pickles only where that is asked for."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamlstm as sl
from streamlstm.convert.common.scalers import as_scaling
from streamlstm.errors import ConvertError

from ..unit.test_cli import run

GOLDEN = Path(__file__).parent.parent / "golden"
NETWORK = GOLDEN / "keras3_lstm_last.h5"
X = np.random.default_rng(0).normal(50, 20, (30, 2))


def plain(scaler: Any) -> Any:
    """Return a fitted scaler as a person writes it to JSON."""
    return {
        key: value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        for key, value in vars(scaler).items()
    }


def sklearn_scalers() -> dict[str, Any]:
    p = pytest.importorskip("sklearn.preprocessing", reason="needs scikit-learn: make test")
    return {
        "standard": p.StandardScaler(),
        "no mean": p.StandardScaler(with_mean=False),
        "no scale": p.StandardScaler(with_std=False),
        "min and max": p.MinMaxScaler((-1, 3)),
        "robust": p.RobustScaler(),
        "largest": p.MaxAbsScaler(),
    }


@pytest.mark.parametrize(
    "name", ["standard", "no mean", "no scale", "min and max", "robust", "largest"]
)
def test_scalers_of_scikit_learn_are_what_they_compute(name: str, tmp_path: Path) -> None:
    scaler = sklearn_scalers()[name].fit(X)
    path = tmp_path / "scaler.json"
    path.write_text(json.dumps(plain(scaler)))
    for given in (scaler, path, str(path), plain(scaler)):
        found, names = as_scaling(given, "inputs", 2)
        assert names is None
        assert np.allclose(found.apply(X), scaler.transform(X), atol=1e-5)
        assert np.allclose(found.invert(X), scaler.inverse_transform(X), rtol=1e-5)


@pytest.mark.parametrize(
    ("given", "mean", "scale"),
    [
        ({"mean": [1, 2], "scale": [3, 4]}, [1, 2], [3, 4]),
        ({"mean": 1, "std": 2}, [1, 1], [2, 2]),
        ({"scale": [3, 4]}, [0, 0], [3, 4]),
        ({"min": [0, 1], "max": [10, 1]}, [0, 1], [10, 1]),
        ({"min": [0], "max": [10], "feature_range": [-1, 1]}, [5, 5], [5, 5]),
        ({"mean": {"b": 1, "a": 2}, "scale": {"a": 4, "b": 3}}, [2, 1], [4, 3]),
        ({"b": {"mean": 1, "scale": 3}, "a": {"min": 0, "max": 4}}, [0, 1], [4, 3]),
        ({"a": {"mean": 1}, "c": {"mean": 5}, "b": {"scale": 3}}, [1, 0], [1, 3]),
        ({"inputs": {"mean": [1, 2]}, "outputs": {"mean": [9]}}, [1, 2], [1, 1]),
    ],
)
def test_forms_of_json(given: Any, mean: Any, scale: Any) -> None:
    found, _ = as_scaling(given, "inputs", 2, ["a", "b"])
    assert (found.mean.tolist(), found.scale.tolist()) == (mean, scale)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"components_": [[1, 0]], "mean_": [1, 2]}, "mixes columns (PCA"),
        ({"transformers_": []}, "a ColumnTransformer treats columns differently"),
        ({"steps": []}, "a Pipeline has several steps"),
        ({"min_": [0, 0], "scale_": [1, 1], "clip": True}, "clip=True bounds"),
        ({"mean": [1, 2, 3]}, "has 3 columns, and the network 2 inputs. Give inputs= (--inputs)"),
        ({"a": {"mean": 1}, "b": {"mean": 1}, "c": {"mean": 1}}, "has the columns a, b, c"),
        ({"mean": [1, 2], "scale": [1, 0]}, "every scale to be greater than zero"),
        ({"mean": [1, 2], "scale": [1]}, "one mean and one scale for each column"),
        ({"average": 3}, 'expected {"mean": [...], "scale": [...]}'),
        ({"mean": ["x", "y"]}, "expected an array of numbers"),
        (7, "got int"),
    ],
)
def test_what_is_no_scaling_is_refused(given: Any, words: str) -> None:
    with pytest.raises(ConvertError) as caught:
        as_scaling(given, "inputs", 2)
    assert words in str(caught.value)


def test_a_network_takes_the_names_of_its_scaler() -> None:
    F = sl.from_keras(NETWORK).input_size
    given = {f"sensor {n}": {"mean": n, "scale": 2} for n in range(F)}
    model = sl.from_keras(NETWORK, input_scaling=given)
    assert model.inputs == tuple(given)
    assert model.input_scaling.mean.tolist() == list(range(F))


def test_a_pickle_is_loaded_only_if_that_is_asked_for(tmp_path: Path) -> None:
    F = sl.from_keras(NETWORK).input_size
    path, out = tmp_path / "scaler.pkl", tmp_path / "m.safetensors"
    path.write_bytes(pickle.dumps({"mean": [1.0] * F, "scale": [2.0] * F}))
    with pytest.raises(ConvertError, match=r"is a pickle \(joblib\), and loading one runs"):
        sl.from_keras(NETWORK, input_scaling=path)
    arguments = ("convert", str(NETWORK), "--input-scaling", str(path), "--out", str(out))
    refused = run(*arguments)
    assert refused.returncode != 0
    assert "--unsafe-pickle" in refused.stderr
    loaded = run(*arguments, "--unsafe-pickle", "--check")
    assert loaded.returncode == 0, loaded.stderr
    assert "runs the code in it" in loaded.stderr
    assert sl.Model.load(out).input_scaling.scale.tolist() == [2.0] * F
