"""The specification of an online stage: what is refused, what a file keeps, who can continue."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save

from streamlstm import LSTM, Dense, Engine, Model, Online
from streamlstm.backends.plan import row_layout
from streamlstm.engine.export import unpack_state
from streamlstm.errors import ModelError, ModelFileError, ModelMismatchError
from streamlstm.network.compatibility import (
    compatibility_key,
    describe_changes,
    incompatibility,
)
from streamlstm.network.online import FILL_VERSION, KINDS, STATE_VERSION

from ..contract.models import STAGES, random_model, staged

PLAIN = random_model([LSTM(2, 5), Dense(5, 2)])
NAMED = Model(PLAIN.layers, PLAIN.weights, inputs=["a", "b"], outputs=["b", "other"])
SHIPPED = "e7d2d13e8f37e01e9a273b5e3dcbfc56"  # as before models had an online stage

WRONG: dict[str, list[tuple[Any, str]]] = {
    "fill": [("often", "one of refuse, last"), ((), "one of"), (("last", 3), "one of"), (7, "one")],
    "max_gap": [(0, "from 1 to"), (2**21, "from 1 to"), (1.5, "an integer"), (True, "an integer")],
    "calendar": [
        (("day",), "some of hour, weekday"),
        ("hour", "some of hour"),
        (("since", "hour"), "in this order"),
        (("hour", "hour"), "in this order"),
    ],
    "zone": [(1, "name of a time zone")],
    "spacing": [(0, "usual seconds"), (-1.0, "usual"), (np.inf, "usual"), ("1", "usual")],
    "scale": [("both", "one of model, stream"), (None, "one of model")],
    "adapt": [("sgd", "one of none, mix, rls"), (True, "one of none")],
    "season": [(-1, "from 0 to"), (2**17, "from 0 to"), (24.0, "an integer")],
    "labels": [(-1, "from 0 to"), (2**13, "from 0 to"), ("all", "an integer")],
    "intervals": [
        ((0.9, 0.5), "rising"),
        ((0.5, 0.5), "rising"),
        ((0.0, 0.5), "between 0 and 1"),
        ((1,), "between 0 and 1"),
        ((np.nan,), "between 0 and 1"),
        (("0.9",), "between 0 and 1"),
        (0.9, "up to 8 levels"),
        (tuple(n / 10 for n in range(1, 10)), "up to 8 levels"),
    ],
    "side": [("left", "one of both, upper, lower")],
    "lower": [(np.nan, "a finite number"), ("0", "a finite number"), (True, "a finite number")],
    "upper": [(np.inf, "a finite number")],
    "anomaly": [(1, "True or False"), ("yes", "True or False")],
    "alarm_rate": [(0, "above 0"), (0.05, "below 0.05"), (np.nan, "a rate"), (False, "a rate")],
    "difference": [((1, 0), "indices of inputs, rising"), ((0, 0), "each once"), ((-1,), "ind")],
    "targets": [((-2,), "index of an input"), ((0.5,), "index"), (3, "index"), ("ab", "index")],
}  # fmt: skip


@pytest.mark.parametrize(("name", "value", "words"), [(n, *c) for n in WRONG for c in WRONG[n]])
def test_a_wrong_value_is_refused_with_what_was_expected(name: str, value: Any, words: str) -> None:
    with pytest.raises(ModelError, match=rf"online: expected {name} to be .*{words}.*, got "):
        Online(**{name: value})


def test_every_field_is_tried_above() -> None:
    assert set(WRONG) | {"transitions"} == {field.name for field in fields(Online)}


@pytest.mark.parametrize("table", [3, ((1.0,),), (("a", 0.0),), ((5.0, 0.0), (1.0, 0.0))])
def test_transitions_are_pairs_that_rise(table: Any) -> None:
    with pytest.raises(ModelError, match="expected transitions to be pairs of seconds"):
        Online(calendar=("hour",), transitions=table)


def test_values_that_do_not_fit_together() -> None:
    with pytest.raises(ModelError, match=r"lower to be a number below upper, 0.0"):
        Online(lower=1.0, upper=0.0)
    with pytest.raises(ModelError, match="expected a time zone such as Europe/Zurich"):
        Online(calendar=("hour",), zone="Mars/Olympus")
    with pytest.raises(ModelError, match=r"these fields cannot be.*colour"):
        Online.from_dict({"colour": "red"})


USELESS: dict[str, tuple[Any, str]] = {
    "max_gap": (3, "fill"),
    "zone": ("Europe/Zurich", "calendar"),
    "spacing": (60.0, "calendar"),
    "season": (24, "adapt"),
    "side": ("upper", "intervals"),
    "lower": (0.0, "intervals"),
    "upper": (1.0, "intervals"),
    "alarm_rate": (0.01, "anomaly"),
}
WITH = {
    "fill": "last",
    "calendar": ("hour",),
    "adapt": "rls",
    "intervals": (0.9,),
    "anomaly": True,
}


@pytest.mark.parametrize("name", USELESS)
def test_an_option_without_effect_is_refused_by_name(name: str) -> None:
    value, needed = USELESS[name]
    with pytest.raises(ModelError, match=rf"{name}=.* has no effect without {needed}"):
        Online(**{name: value})
    with pytest.raises(ModelError, match=rf"{name}=.* has no effect without {needed}"):
        Online(**{name: value, "fill": ("refuse", "refuse")})
    assert getattr(Online(**{name: value, needed: WITH[needed]}), name) == value
    assert Online.from_dict({name: value}) == Online()  # of a file of a former version


@pytest.mark.parametrize(
    ("online", "words"),
    [
        (Online(fill=("last",)), "fill to have one word for each of 2 inputs, got 1"),
        (Online(calendar=("hour",)), "more than the 2 inputs of the calendar, got 2"),
        (Online(targets=(0,)), "for each of 2 outputs"),
        (Online(targets=(0, 2)), "index up to 1"),
        (Online(intervals=(0.9,), targets=(-1, -1)), "intervals need to know what came"),
        (Online(adapt="mix", targets=(-1, -1)), "adaptation needs to know what came"),
        (Online(labels=3), "labels from outside serve to adapt"),
        ("all", "expected an Online, got str"),
    ],
)
def test_a_stage_that_does_not_fit_the_model_is_refused(online: Any, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        NAMED.with_online(online)


def test_targets_are_found_by_name_then_by_what_is_added() -> None:
    assert NAMED.with_online(Online()).targets == (1, -1)
    skipping = Model(PLAIN.layers, PLAIN.weights, ["a", "b"], ["b", "x"], skip=[0, 0])
    assert skipping.with_online(Online()).targets == (1, 0)
    assert skipping.with_online(Online(targets=(-1, 1))).targets == (-1, 1)


@pytest.mark.parametrize("name", STAGES)
def test_a_model_file_keeps_the_stage(name: str, tmp_path: Path) -> None:
    model = staged(STAGES[name])
    model.save(tmp_path / "m.safetensors")
    loaded = Model.load(tmp_path / "m.safetensors")
    assert loaded.online == model.online
    assert loaded.fingerprint == model.fingerprint
    with safe_open(str(tmp_path / "m.safetensors"), framework="numpy") as file:
        assert file.metadata()["version"] == "2"


def test_a_model_without_a_stage_is_what_it_was(tmp_path: Path, root: Path) -> None:
    shipped = Model.load(root / "streamlstm" / "models" / "host.safetensors")
    assert shipped.fingerprint == SHIPPED
    assert "online" not in shipped.specification()
    bare = shipped.with_online(Online(anomaly=True)).with_online(None)
    assert bare.fingerprint == SHIPPED
    bare.save(tmp_path / "m.safetensors")
    with safe_open(str(tmp_path / "m.safetensors"), framework="numpy") as file:
        assert file.metadata()["version"] == "1"
    assert bare.result_size == bare.output_size


def test_every_option_changes_the_fingerprint() -> None:
    stages = [
        Online(),
        *STAGES.values(),
        Online(anomaly=True),
        Online(anomaly=True, alarm_rate=1e-3),
    ]
    models = [staged(online) for online in stages] + [staged(Online()).with_online(None)]
    assert len({model.fingerprint for model in models}) == len(models)


def test_with_online_keeps_everything_else() -> None:
    model = staged(Online())
    other = model.with_online(Online(intervals=(0.9,)))
    assert model.online == Online()
    for name in ("layers", "inputs", "outputs", "skip", "horizon", "metadata"):
        assert getattr(other, name) == getattr(model, name)
    assert all(np.array_equal(other.arrays()[n], a) for n, a in model.arrays().items())


def test_a_file_with_an_option_of_a_later_version_is_refused(tmp_path: Path) -> None:
    path, model = tmp_path / "m.safetensors", staged(Online(anomaly=True))
    header = {
        "format": "streamlstm",
        "version": "2",
        "specification": json.dumps(model.specification() | {"online": {"crystal_ball": True}}),
        "metadata": "{}",
        "fingerprint": model.fingerprint,
    }
    path.write_bytes(save(model.arrays(), metadata=header))
    with pytest.raises(ModelFileError, match="crystal_ball"):
        Model.load(path)


def test_a_description_is_the_code_that_makes_it() -> None:
    for online in STAGES.values():
        assert eval(online.describe(), {"Online": Online}) == online
    assert "Online(anomaly=True" in repr(staged(Online(anomaly=True)))


FULL = Online(fill="last", adapt="rls", season=4, labels=5, intervals=(0.5, 0.9), anomaly=True)


def row_of(engine: Engine) -> np.ndarray:
    """Return the state row of stream "a"."""
    model = engine.model
    return unpack_state(engine.export_stream("a"), model.fingerprint, row_layout(model)[1], 0)[0]


@pytest.mark.parametrize(
    "change",
    [{"alarm_rate": 0.01}, {"max_gap": 7}, {"lower": -2.0}, {"upper": 9.0}, {"targets": (2, 0)}],
)
def test_streams_continue_with_options_that_keep_nothing(change: dict[str, Any]) -> None:
    options = FULL.to_dict()
    running, new = staged(FULL), staged(Online.from_dict(options | change))
    assert incompatibility(running, new) is None
    assert compatibility_key(running) == compatibility_key(new)
    engine = Engine(running, 3)
    engine.step("a", [0.1, 0.2, 0.3])
    before = row_of(engine)
    result = engine.reload(new)
    assert np.array_equal(row_of(engine), before, equal_nan=True)
    assert result.changed == ["the online stage"]


@pytest.mark.parametrize(
    "change",
    [
        {"intervals": [0.5, 0.95]},
        {"intervals": [0.9]},
        {"anomaly": False},
        {"adapt": "mix"},
        {"season": 5},
        {"labels": 6},
        {"fill": "predict"},
        {"scale": "stream"},
        {"targets": (2, -1)},
    ],
)
def test_streams_cannot_continue_with_another_memory(change: dict[str, Any]) -> None:
    running, new = staged(FULL), staged(Online.from_dict(FULL.to_dict() | change))
    reason = incompatibility(running, new)
    assert reason is not None
    assert "its online stage remembers other things" in reason
    assert compatibility_key(running) != compatibility_key(new)
    assert describe_changes(running, new)[0] == reason
    engine = Engine(running, 3)
    engine.observe("a", [0.1, 0.2, 0.3], seq=1)
    with pytest.raises(ModelMismatchError, match="remembers other things"):
        engine.reload(new)
    again = Engine(running, 3)
    again.observe("a", [0.1, 0.2, 0.3], seq=1)
    twin, other = (e.observe("a", [0.2, 0.2, 0.3], seq=2) for e in (engine, again))
    assert np.array_equal(twin._result, other._result, equal_nan=True)
    engine.reload(new, anew=True)
    assert engine.observe("a", [0.1, 0.2, 0.3], seq=3).y.shape == (2,)


def test_a_stage_is_no_part_of_a_state_without_one() -> None:
    plain = staged(Online()).with_online(None)
    assert incompatibility(plain, staged(Online(anomaly=True))) is not None
    assert incompatibility(staged(Online(anomaly=True)), plain) is not None


def test_the_numbers_that_records_depend_on() -> None:
    """A change of these needs a new version, or old records would be read wrongly."""
    assert (STATE_VERSION, FILL_VERSION) == (3, 4)
    assert KINDS == ("", "spike", "level", "variance", "calm", "novelty", "missing")
