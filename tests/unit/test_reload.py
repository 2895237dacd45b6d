"""A reload: streams go on bit for bit, or restart, or it is refused and nothing changes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from streamlstm import GRU, LSTM, RNN, Dense, Embedding, Engine, Model, wire
from streamlstm.backends.plan import prediction_place, row_layout
from streamlstm.engine.export import pack_state, unpack_state
from streamlstm.errors import ModelError, ModelMismatchError, ShapeError, StreamLSTMError
from streamlstm.network.compatibility import compatibility_key, incompatibility
from streamlstm.network.layers import Layer

from ..contract.models import random_model
from .worker_harness import harness

PLAIN = [LSTM(2, 9), Dense(9, 3)]
OTHER = [LSTM(3, 21), Dense(21, 5)]
IDS: list[str | int] = ["a", "123456789", "größe", 7, 2**63]


def named(model: Model, **other: Any) -> Model:
    attributes = {
        name: getattr(model, name)
        for name in ("inputs", "outputs", "input_scaling", "output_scaling", "skip", "horizon")
    }
    return Model(model.layers, model.weights, **{**attributes, **other})


def step_all(engine: Engine, first: int, last: int) -> list[np.ndarray[Any, Any]]:
    """Step all streams, in every way that an engine has; return the predictions."""
    F, Y = engine.model.input_size, []
    for seq in range(first, last):
        X = np.random.default_rng(seq).standard_normal((len(IDS), F)).astype(np.float32)
        X[:, 0] = np.abs(X[:, 0] // 1) % 3  # a category, where that is wanted
        match seq % 4:
            case 0:
                Y.append(engine.step_many(IDS, X, seqs=[seq] * len(IDS)))
            case 1:
                Y += [engine.step(s, x, seq=seq) for s, x in zip(IDS, X, strict=True)]
            case 2:
                Y += [engine.stream(s).step(x, seq=seq) for s, x in zip(IDS, X, strict=True)]
            case _:
                Y.append(engine.step_each(IDS, X, seqs=[seq] * len(IDS))[0])
    return Y


def moved(engine: Engine, model: Model, **options: Any) -> Engine:
    """Return a new engine for a model, with the states of another engine's streams."""
    made = Engine(model, **options)
    for stream in engine.streams():
        size, place = row_layout(engine.model)[1], prediction_place(engine.model).start
        state = unpack_state(engine.export_stream(stream), engine.model.fingerprint, size, place)
        made.import_stream(stream, pack_state(model.fingerprint, *state))
    return made


@pytest.mark.parametrize(
    ("layers", "options"),
    [
        (PLAIN, {"threads": 1}),
        (PLAIN, {"backend": "reference"}),
        ([LSTM(2, 70), LSTM(70, 9), Dense(9, 3)], {"threads": 1, "weights": "bfloat16"}),
        ([GRU(2, 12), Dense(12, 3)], {"threads": 2}),
        ([Embedding(2, 3, 3), RNN(4, 5), Dense(5, 3)], {"threads": 1}),
    ],
)
def test_streams_go_on_as_in_an_engine_that_was_made_with_the_new_model(
    layers: Sequence[Layer], options: dict[str, Any]
) -> None:
    old, new = (random_model(layers, seed) for seed in (1, 2))
    engine = Engine(old, 50, **options)
    step_all(engine, 1, 6)
    for model in (new, old, new):
        last = engine.last_seq("a")
        expected = moved(engine, model, capacity=50, **options)
        done = engine.reload(model)
        assert (done.model, done.anew) == (model.fingerprint, False)
        assert done.changed
        assert engine.model is model
        assert expected.last_prediction("a", last) is not None
        for y, truth in zip(
            step_all(engine, last + 1, last + 6),
            step_all(expected, last + 1, last + 6),
            strict=True,
        ):
            np.testing.assert_array_equal(y, truth)
        for stream in IDS:
            assert engine.export_stream(stream) == expected.export_stream(stream)
        x = [1.0] * old.input_size
        np.testing.assert_array_equal(
            engine.explain("a", x).prediction, expected.explain("a", x).prediction
        )
        engine.forget(7)  # and comes again, as a new one
        expected.forget(7)
        with pytest.raises(StreamLSTMError):
            engine.import_stream("b", Engine(old).export_stream("b"))
        for each in (engine, expected):
            each.step(7, x, seq=0)
            each.forget(7)
            for seq in range(1, last + 6):
                each.step(7, x, seq=seq)


def test_stateless_layers_may_differ() -> None:
    deeper = random_model([Dense(2, 4, "tanh"), LSTM(4, 9), Dense(9, 40), Dense(40, 3)], 5)
    engine = Engine(random_model(PLAIN, 1), threads=1)
    step_all(engine, 1, 4)
    expected = moved(engine, deeper, threads=1)
    engine.reload(deeper)
    for y, truth in zip(step_all(engine, 4, 9), step_all(expected, 4, 9), strict=True):
        np.testing.assert_array_equal(y, truth)


def test_later_streams_begin_with_the_initial_state_of_the_new_model() -> None:
    layers = [LSTM(2, 9, initial_state=True), Dense(9, 3)]
    old, new = random_model(layers, 1), random_model(layers, 2)
    engine = Engine(old, threads=1)
    engine.step("a", [1, 2])
    engine.reload(new)
    engine.reset("a")
    fresh = Engine(new, threads=1)
    for stream in ("a", "b"):
        np.testing.assert_array_equal(engine.step(stream, [1, 2]), fresh.step(stream, [1, 2]))


MODEL = random_model(PLAIN)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (random_model(OTHER), "it has 3 inputs (x0, x1, x2), the running model 2 (x0, x1)"),
        (random_model([LSTM(2, 9), Dense(9, 1)]), "it has 1 outputs (y0), the running model 3"),
        (named(MODEL, inputs=["x0", "b"]), "input 1 is called 'b', that of the running model 'x1'"),
        (named(MODEL, inputs=["x1", "x0"]), "input 0 is called 'x1', that of the running model"),
        (named(MODEL, outputs=["y0", "y1", "b"]), "output 2 is called 'b', that of the running"),
        (named(MODEL, horizon=9), "it predicts 9 steps ahead, the running model 1"),
        (
            random_model([Embedding(2, 3, 4), LSTM(5, 9), Dense(9, 3)]),
            "first input names 3 categories, that of the running model none",
        ),
        (
            random_model([LSTM(2, 8), Dense(8, 3)]),
            "layer 0 (lstm) has 8 units, the running model 9",
        ),
        (
            random_model([Dense(2, 2), LSTM(2, 8), Dense(8, 3)]),
            "layer 1 (lstm) has 8 units, the running model 9",
        ),
        (
            random_model([LSTM(2, 9, projection_size=4), Dense(4, 3)]),
            "layer 0 (lstm) has a state of h[4] and c[9], the running model h[9] and c[9]",
        ),
        (random_model([GRU(2, 9), Dense(9, 3)]), "layer 0 is of kind gru, the running model has"),
        (
            random_model([LSTM(2, 9), LSTM(9, 9), Dense(9, 3)]),
            "it has 2 recurrent layers, the running model has 1",
        ),
    ],
)
def test_an_incompatible_model_is_refused_with_the_reason_and_nothing_changes(
    model: Model, reason: str
) -> None:
    assert reason in (incompatibility(MODEL, model) or "")
    assert compatibility_key(MODEL) != compatibility_key(model)
    engine, alone = Engine(MODEL, threads=1), Engine(MODEL, threads=1)
    step_all(engine, 1, 4)
    step_all(alone, 1, 4)
    with pytest.raises(ModelMismatchError, match="streams cannot continue with this model"):
        engine.reload(model)
    assert engine.model is MODEL
    for y, truth in zip(step_all(engine, 4, 8), step_all(alone, 4, 8), strict=True):
        np.testing.assert_array_equal(y, truth)
    assert engine.export_stream("a") == alone.export_stream("a")


def test_compatible_models_have_one_compatibility_key() -> None:
    other = random_model(PLAIN, 7, scaled=True)
    assert incompatibility(MODEL, other) is None
    assert compatibility_key(MODEL) == compatibility_key(other)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("layers", [OTHER, PLAIN, [LSTM(2, 30, initial_state=True), Dense(30, 3)]])
def test_streams_restart_and_their_numbers_stay(layers: Sequence[Layer], backend: str) -> None:
    new = random_model(layers, 3)
    engine = Engine(MODEL, 20, backend=backend, threads=1)
    step_all(engine, 1, 4)
    engine.step("timed", [1, 2], time=5.0)
    last = engine.last_prediction("a", 3)
    assert last is not None
    done = engine.reload(new, anew=True)
    assert done.anew
    assert engine.last_seqs([*IDS, "timed"]) == [3] * len(IDS) + [0]
    again = engine.last_prediction("a", 3)
    if new.output_size == 3:
        np.testing.assert_array_equal(again, last)
    else:
        assert again is None
    fresh = Engine(new, 20, backend=backend, threads=1)
    for stream in [*IDS, "timed"]:
        x = [1.0] * new.input_size
        fresh.step(stream, x)
        fresh.reset(stream)
        expected = fresh.step(stream, x)
        if stream == "timed":
            np.testing.assert_array_equal(engine.step(stream, x), expected)
            assert engine.export_stream(stream) == fresh.export_stream(stream)
        else:
            np.testing.assert_array_equal(engine.step(stream, x, seq=4), expected)
            last = engine.last_prediction(stream, 4)
            np.testing.assert_array_equal(last, expected)
    engine.step("new", [0.5] * new.input_size)
    fresh.step("new", [0.5] * new.input_size)
    assert engine.export_stream("new") == fresh.export_stream("new")


def test_a_prepared_initial_row_does_not_change() -> None:
    """A store restarts streams of earlier epochs with it; the table writes into a copy."""
    layers = [LSTM(2, 5, initial_state=True), Dense(5, 1)]
    first, second, third = (random_model(layers, seed) for seed in range(3))
    engine = Engine(first, threads=1)
    prepared = engine.prepare_reload(second, anew=True)
    initial = prepared.initial.copy()
    engine.commit_reload(prepared)
    engine.reload(third)
    assert not np.array_equal(engine.prepare_reload(third).initial, initial)
    np.testing.assert_array_equal(prepared.initial, initial)


def test_a_reload_prepared_for_another_model_is_refused() -> None:
    engine = Engine(MODEL, threads=1)
    stale = engine.prepare_reload(random_model(PLAIN, 1))
    engine.reload(random_model(PLAIN, 2))
    with pytest.raises(ModelError, match="another reload was committed in between"):
        engine.commit_reload(stale)


def test_an_engine_with_a_store_is_reloaded_by_its_worker() -> None:
    engine = Engine(MODEL, threads=1)
    engine.dirty_tracker()
    with pytest.raises(ModelError, match="ask its worker"):
        engine.reload(random_model(PLAIN, 1))


@pytest.mark.parametrize("anew", [False, True])
def test_threads_that_step_during_reloads_get_predictions_of_one_of_the_models(anew: bool) -> None:
    models = [MODEL, random_model(OTHER if anew else PLAIN, 4)]
    engine = Engine(MODEL, threads=1)
    wrong: list[str] = []
    over = threading.Event()
    zeros = {m.input_size: np.zeros(m.input_size, np.float32) for m in models}
    alone_engines = [Engine(m, threads=1) for m in models]
    rounds = {f"thread {n}": 0 for n in range(3)}

    def step(name: str) -> None:
        handle = engine.stream(f"{name} handle")
        while not over.is_set():
            F = engine.model.input_size
            rounds[name] += 1
            for how in (
                lambda x: engine.step(name, x),
                handle.step,
                lambda x: engine.step_many([name, "b"], [x, x])[0],
            ):
                try:
                    y = how(zeros[F])
                except ShapeError:
                    continue
                if len(y) not in (3, 5) or not np.isfinite(y).all():
                    wrong.append(f"{name}: {y}")

    threads = [threading.Thread(target=step, args=(name,)) for name in rounds]
    for thread in threads:
        thread.start()
    reloads = 0
    while reloads < 40 or (min(rounds.values()) < 3 and all(t.is_alive() for t in threads)):
        reloads += 1
        engine.reload(models[reloads % 2], anew)
    over.set()
    for thread in threads:
        thread.join()
    assert not wrong
    for n, alone in ((0, alone_engines[0]), (1, alone_engines[1])):
        engine.reload(models[n], True)
        np.testing.assert_array_equal(
            engine.step("last", zeros[models[n].input_size]),
            alone.step("last", zeros[models[n].input_size]),
        )
        engine.forget("last")


@pytest.mark.parametrize("loop", ["native", "python"])
def test_a_loop_serves_an_engine_that_another_thread_reloads(loop: str) -> None:
    engine, alone = Engine(MODEL, threads=1), Engine(MODEL, threads=1)
    big = random_model([LSTM(40, 9), Dense(9, 600)], 1)
    with harness(engine, loop=loop) as worker:
        for n, model in enumerate((MODEL, big, random_model(OTHER, 2), MODEL), 1):
            if n > 1:
                engine.reload(model, anew=True)
                alone.reload(model, anew=True)
            X = np.random.default_rng(n).standard_normal((300, model.input_size))
            streams = [f"s{k}" for k in range(300)]
            asked = wire.Steps(streams, [n] * 300, wire.to_floats(X))  # type: ignore[arg-type]
            answer = wire.decode_reply(worker.ask([wire.encode(asked)])[0][-1])
            assert isinstance(answer, wire.Predictions)
            np.testing.assert_array_equal(
                answer.values, alone.step_many(streams, X, seqs=[n] * 300)
            )
