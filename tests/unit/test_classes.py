"""Training for classes and next events: arithmetic, periods of sequences, models, scores."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from streamlstm.engine.engine import Engine
from streamlstm.errors import DataError
from streamlstm.learn.classes.dataset import ClassDataset
from streamlstm.learn.dataset import Dataset, Split
from streamlstm.learn.evaluation.class_scores import score_classes
from streamlstm.learn.evaluation.told import baseline_of, told_classes
from streamlstm.learn.inference import SequenceRunner
from streamlstm.learn.loss import cross_entropy
from streamlstm.learn.network import RecurrentNetwork
from streamlstm.learn.training import train

from .tables import class_model

QUICK = {"hidden": 12, "epochs": 12, "window": 16, "rate": 1e-2}


def test_cross_entropy_and_gradient() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(4, 3, 5)) * 3
    classes = rng.integers(0, 5, (4, 3, 1)).astype(np.float64)
    weights, class_weights = np.ones((4, 3, 1)), rng.uniform(0.5, 2, 5)
    weights[1, 2] = 0
    loss, gradient = cross_entropy(logits, classes, weights, class_weights)
    for at in np.ndindex(logits.shape):
        moved = logits.copy()
        moved[at] += 1e-6
        slope = (cross_entropy(moved, classes, weights, class_weights)[0] - loss) / 1e-6
        assert slope == pytest.approx(gradient[at], abs=1e-5)
    assert (gradient[1, 2] == 0).all()
    assert np.isfinite(cross_entropy(logits * 1e4, classes, weights, class_weights)[0])


def write_sequences(path: Path, n: int = 120, streams: Sequence[str] = ("",)) -> Path:
    """Write sequences of 12 to 20 rows: the class is in their second row, noise comes after."""
    rng = np.random.default_rng(2)
    lines = ["machine,run,seconds,x,state"]
    for run in range(n):
        bad = rng.random() < 0.5
        for t in range(int(rng.integers(12, 21))):
            x = (3 if bad else -3) if t == 1 else 0.2 * rng.normal()
            lines += [f"{name},{run},{t},{x:.4f},{'bad' if bad else 'good'}" for name in streams]
    path.write_text("\n".join(lines))
    return path


def test_a_class_is_told_as_soon_as_a_sequence_shows_it(tmp_path: Path) -> None:
    path = write_sequences(tmp_path / "runs.csv")
    trained = train(path, classify="state", sequence_column="run", inputs="x", **QUICK)
    model, scores = trained.model, trained.classes
    assert scores is not None
    assert model.outputs == ("bad", "good")
    assert model.horizon == 0
    assert model.online is None
    assert scores.confusion.sum() == scores.rows
    assert scores.accuracy > 0.9
    assert scores.macro_f1 > 0.9
    assert scores.by_progress[1.0] > 0.98
    assert scores.by_progress[0.1] > 0.9  # 0.1 of 12 rows is the second
    assert scores.settled is not None
    assert scores.settled < 0.25
    assert scores.log_loss < 0.5 * scores.frequencies
    engine = Engine(model)
    for stream, x in (("one", 3.0), ("other", -3.0)):
        engine.step(stream, [0.0])
        told = engine.step(stream, [x])
        assert told.sum() == pytest.approx(1, abs=1e-5)
        assert model.outputs[int(told.argmax())] == ("bad" if x > 0 else "good")


def test_sequences_of_several_streams_are_kept_apart(tmp_path: Path) -> None:
    path = write_sequences(tmp_path / "runs.csv", 40, ("a", "b"))
    trained = train(
        path,
        classify="state",
        sequence_column="run",
        stream_column="machine",
        inputs="x",
        **QUICK | {"epochs": 1},
    )
    names = [s.name for s in trained.dataset.series]
    assert len(names) == 80
    assert names[:4] == ["a/0", "b/0", "a/1", "b/1"]


@pytest.mark.parametrize("kind", [Dataset, ClassDataset])
def test_whole_sequences_are_in_each_period(kind: type) -> None:
    rng = np.random.default_rng(3)
    lengths = rng.integers(5, 30, 50)
    values = [rng.normal(size=(n, 1)).astype(np.float32) for n in lengths]
    classes = [(v[:, 0] > 0).astype(np.intp) for v in values]
    names = list(map(str, range(50)))
    if kind is ClassDataset:
        triples = list(zip(names, values, classes, strict=True))
        data: Dataset = ClassDataset(triples, ["low", "high"], sequences=True)
    else:
        data = Dataset(list(zip(names, values, strict=True)), [0], [0], 2, sequences=True)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    assert data.train_rows.max() < offsets[35] <= data.validation_rows.min()
    assert data.validation_rows.max() < offsets[40]
    for s in data.series:  # no target of one sequence is in the next
        rows = np.arange(s.offset, s.offset + len(s))
        assert not data.known[rows[len(s) - data.horizon :]].any()
        assert data.known[rows[: len(s) - data.horizon]].all()
    starts = data.window_starts(8, rng)
    inside = data.windows(starts, 8)[2][:, :, 0] > 0
    rows = (starts[None, :] + np.arange(8)[:, None])[inside]
    assert sorted(set(rows.tolist())) == data.train_rows.tolist()


def test_the_state_is_reset_between_sequences() -> None:
    rng = np.random.default_rng(4)
    values = [rng.normal(size=(n, 2)).astype(np.float32) for n in (30, 7, 30, 12, 40)] * 3
    classes = [(v[:, 0] > 0).astype(np.intp) for v in values]
    names = list(map(str, range(15)))
    data = ClassDataset(
        list(zip(names, values, classes, strict=True)), ["low", "high"], sequences=True
    )
    network = RecurrentNetwork(2, (4,), 2)
    network.theta[:] = rng.normal(size=network.theta.shape)
    outputs, states = SequenceRunner(network, data).run(np.array([30, 37]))
    assert not any(vector.any() for row in (30, 37) for vector in states[row][0])
    np.testing.assert_allclose(outputs[:30], outputs[119:149], atol=1e-6)  # the same once more


def markov(n: int) -> NDArray[np.intp]:
    """Return events that mostly follow a cycle, whose turn depends on the one before the last."""
    rng = np.random.default_rng(5)
    events = [0, 1]
    while len(events) < n:
        following = (2 * events[-1] + events[-2]) % 5
        events.append(int(rng.integers(5)) if rng.random() < 0.1 else following)
    return np.array(events)


def test_next_events_are_learned_and_served(tmp_path: Path) -> None:
    names = np.array(["start", "stop", "wait", "open", "close"])
    events = markov(1500)
    path = tmp_path / "events.csv"
    path.write_text("event\n" + "\n".join(names[events]))
    trained = train(path, target_category="event", embedding=4, **QUICK | {"epochs": 20})
    model, scores = trained.model, trained.classes
    assert scores is not None
    assert model.outputs == tuple(sorted(names))
    assert (model.categories, model.horizon) == (5, 1)
    assert scores.accuracy > 0.8
    assert scores.log_loss < 0.6 * scores.frequencies
    engine = Engine(model)
    said = model.predict(path)
    for row, event in enumerate(names[events[:50]]):
        logs = engine.step("s", [model.outputs.index(event)])
        assert [said[name][row] for name in model.outputs] == logs.tolist()
    path.write_text("event\nstart\nrun\n")
    with pytest.raises(DataError, match=r":3: column 'event': .*'start'.*got 'run'"):
        model.predict(path)
    assert np.exp(logs).sum() == pytest.approx(1, abs=1e-5)
    assert model.outputs[int(logs.argmax())] == names[(2 * events[49] + events[48]) % 5]


def test_rare_classes_weigh_more_if_asked(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=2000)
    rare = x + 0.7 * rng.normal(size=2000) > 2.2
    path = tmp_path / "rare.csv"
    path.write_text(
        "x,fault\n" + "\n".join(f"{a:.4f},{int(b)}" for a, b in zip(x, rare, strict=True))
    )
    plain, balanced = (
        train(path, classify="fault", class_weights=kind, **QUICK | {"epochs": 5}).classes
        for kind in ("none", "balanced")
    )
    assert plain is not None
    assert balanced is not None
    assert plain.classes == ("0", "1")
    recalls = [scores.confusion[1, 1] / scores.confusion[1].sum() for scores in (plain, balanced)]
    assert recalls[1] > recalls[0] + 0.2


def test_rows_without_a_class_are_inputs_and_nothing_else() -> None:
    values = np.arange(100, dtype=np.float32)[:, None]
    classes = np.arange(100) % 2
    classes[::3] = -1
    data = ClassDataset([("", values, classes)], ["even", "odd"], Split(0.6, 0.2))
    assert not data.known[::3].any()
    assert len(data.train_rows) == 40
    model = class_model(("even", "odd"))
    told = told_classes(model, np.eye(2)[np.arange(100) % 2], classes, [np.arange(100)], [80])
    scores = score_classes(told, baseline_of(told, next_event=False), told.rows())
    assert scores.accuracy == 1
    assert scores.confusion.tolist() == [[7, 0], [0, 6]]


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    path = write_sequences(tmp_path / "runs.csv", 20)
    with pytest.raises(DataError, match="one of these; got none"):
        train(path)
    with pytest.raises(DataError, match="one of these; got 2"):
        train(path, target="x", classify="state")
    with pytest.raises(DataError, match="neither quantiles nor horizons"):
        train(path, classify="state", horizon=3)
    with pytest.raises(DataError, match=r"fill predict: .* use last, mean or zero"):
        train(path, classify="state", fill="predict")
    with pytest.raises(DataError, match="fill last: the only input is the category 'state'"):
        train(path, target_category="state", inputs=[], fill="last")
    with pytest.raises(DataError, match="expected a column 'stat'"):
        train(path, classify="stat")
    (tmp_path / "one.csv").write_text("x,state\n" + "1.5,on\n" * 100)
    with pytest.raises(DataError, match="from 2 to 1000 classes, got 1"):
        train(tmp_path / "one.csv", classify="state")
    (tmp_path / "gap.csv").write_text("event,x\na,1\n,2\nb,3\n")
    with pytest.raises(DataError, match="line 3: column 'event': expected a category, got none"):
        train(tmp_path / "gap.csv", target_category="event")
