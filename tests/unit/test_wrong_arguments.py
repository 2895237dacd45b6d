"""Every argument of engines and models with wrong values: all errors are StreamLSTMError."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import streamlstm as sl
from streamlstm import LSTM, Dense, Engine, Online
from streamlstm.client.requests import label, observations
from streamlstm.errors import BadValueError, ShapeError

from ..contract.models import random_model
from .wrong_values import Call, refusals_of

MODEL = random_model([sl.LSTM(2, 3), sl.Dense(3, 1)])
X = [0.5, 0.25]


def engine() -> sl.Engine:
    made = sl.Engine(MODEL, 10)
    made.step("a", X, seq=1)
    return made


def stepped(method: str) -> Callable[..., Any]:
    return lambda **arguments: getattr(engine(), method)(**arguments)


def in_loop(method: str) -> Callable[..., Any]:
    async def call(arguments: dict[str, Any]) -> Any:
        return await getattr(sl.AsyncEngine(engine()), method)(**arguments)

    return lambda **arguments: asyncio.run(call(arguments))


STEP = {"stream": "a", "x": X, "seq": 2, "time": 1.0}
MANY = {"streams": ["a", "b"], "X": [X, X], "seqs": [2, 1]}
WEIGHTS = [dict(weights) for weights in MODEL.weights]

CALLS: dict[str, Call] = {
    "Engine": Call(
        sl.Engine,
        {"model": MODEL, "capacity": 5, "backend": "cpu", "threads": 1, "weights": "float32"},
    ),
    "Engine.step": Call(stepped("step"), STEP),
    "Engine.step_many": Call(stepped("step_many"), MANY | {"times": [1.0, 2.0]}),
    "Engine.step_each": Call(stepped("step_each"), MANY | {"times": [1.0, 2.0]}),
    **{
        f"Engine.{name}": Call(
            stepped(name), {"stream": "a", "X": [X, X], "times": [1.0, 2.0], "seq": 2}
        )
        for name in ("run", "observe_run")
    },
    "Engine.explain": Call(stepped("explain"), {"stream": "a", "x": X}),
    "Engine.stream": Call(lambda stream: engine().stream(stream).step(X), {"stream": "a"}),
    "Engine.reload": Call(stepped("reload"), {"model": MODEL, "anew": True}),
    "Engine.import_stream": Call(
        stepped("import_stream"), {"stream": "a", "blob": engine().export_stream("a")}
    ),
    "Engine.last_prediction": Call(stepped("last_prediction"), {"stream": "a", "seq": 1}),
    "Engine.last_seqs": Call(stepped("last_seqs"), {"streams": ["a", "b"]}),
    "Engine.list_streams": Call(
        stepped("list_streams"), {"prefix": "a", "after": None, "count": 10}
    ),
    "Engine.__contains__": Call(lambda stream: stream in engine(), {"stream": "a"}),
    **{
        f"Engine.{name}": Call(stepped(name), {"stream": "a"})
        for name in ("reset", "forget", "export_stream", "last_seq")
    },
    "Stream.step": Call(
        lambda **arguments: engine().stream("a").step(**arguments), {"x": X, "seq": 2, "time": 1.0}
    ),
    "AsyncEngine": Call(
        lambda engine: asyncio.run(sl.AsyncEngine(engine).step("a", X)), {"engine": engine()}
    ),
    "AsyncEngine.step": Call(in_loop("step"), STEP),
    "AsyncEngine.step_many": Call(in_loop("step_many"), MANY | {"times": [1.0, 2.0]}),
    **{
        f"AsyncEngine.{name}": Call(in_loop(name), {"stream": "a"})
        for name in ("reset", "forget", "export_stream")
    },
    "Model": Call(
        sl.Model,
        {
            "layers": MODEL.layers,
            "weights": WEIGHTS,
            "inputs": ["a", "b"],
            "outputs": ["y"],
            "input_scaling": sl.Scaling([0, 0], [1, 1]),
            "output_scaling": sl.Scaling([0], [1]),
            "skip": [0],
            "skip_scale": [2.0],
            "horizon": 1,
            "input_offsets": [1e9, 0.0],
            "output_offsets": [1e9],
            "metadata": {"a": "b"},
        },
    ),
    "Model.with_weights": Call(MODEL.with_weights, {"weights": WEIGHTS}),
    "Model.load": Call(sl.Model.load, {"path": "no.safetensors"}),
    "Model.save": Call(MODEL.save, {"path": "/nonexistent/no.safetensors"}),
    "a weight": Call(
        lambda weight: MODEL.with_weights([WEIGHTS[0] | {"bias": weight}, WEIGHTS[1]]),
        {"weight": WEIGHTS[0]["bias"]},
    ),
    "Scaling": Call(sl.Scaling, {"mean": [0.0], "scale": [1.0]}),
    "Scaling.identity": Call(sl.Scaling.identity, {"n": 3}),
    "Scaling.apply": Call(sl.Scaling([0, 1], [1, 2]).apply, {"x": X}),
    "Scaling.invert": Call(sl.Scaling([0, 1], [1, 2]).invert, {"z": X}),
    "LSTM": Call(
        sl.LSTM,
        {
            "input_size": 2,
            "hidden_size": 3,
            "projection_size": 2,
            "peephole": True,
            "coupled": True,
            "layer_norm": True,
            "gate_clip": 1.0,
            "cell_clip": 1.0,
            "projection_clip": 1.0,
            "gate_activation": "sigmoid",
            "candidate_activation": "tanh",
            "cell_activation": "tanh",
            "initial_state": True,
        },
    ),
    "GRU": Call(sl.GRU, {"input_size": 2, "hidden_size": 3, "reset_after": True}),
    "RNN": Call(sl.RNN, {"input_size": 2, "hidden_size": 3, "activation": "relu"}),
    "Dense": Call(sl.Dense, {"input_size": 2, "output_size": 3, "activation": "relu"}),
    "Embedding": Call(sl.Embedding, {"input_size": 2, "categories": 3, "dimension": 2}),
    "LayerNorm": Call(sl.LayerNorm, {"input_size": 2, "epsilon": 1e-3}),
    "Pointwise": Call(sl.Pointwise, {"input_size": 2, "activation": "relu"}),
    "check_precision": Call(
        sl.check_precision, {"model": MODEL, "weights": "float16", "steps": 2, "seed": 0}
    ),
    "load_any": Call(sl.load_any, {"path": "no.pt"}),
    **{
        name: Call(getattr(sl, name), {argument: "no.file"})
        for name, argument in (
            ("from_torch", "source"),
            ("from_keras", "path"),
            ("from_onnx", "source"),
            ("from_rtneural", "path"),
            ("from_guitarml", "path"),
            ("from_nam", "path"),
            ("from_tflite", "path"),
            ("from_tensorflow", "path"),
        )
    },
    "to_onnx": Call(sl.to_onnx, {"model": MODEL, "path": "/nonexistent/no.onnx"}),
}


test_a_wrong_argument_is_refused_with_an_error_of_ours = refusals_of(CALLS)


MIXED: list[Any] = [
    [[1.0, True], [2.0, 3.0]],
    [[1.0, 2.0], (3, np.True_)],
    [[1.0, 2.0], np.array([False, True])],
    ([1, 2], [None, False]),
]


@pytest.mark.parametrize("X", MIXED, ids=repr)
def test_booleans_among_numbers_are_refused_everywhere(X: Any) -> None:
    """In many rows, a run, offsets and clients alike, as rows of booleans alone are."""
    plain = random_model([LSTM(2, 4), Dense(4, 1)])
    for model in (plain, plain.with_offsets([1e9, 0.0])):
        engine = Engine(model, 10)
        for call in (
            lambda engine=engine: engine.step_many(["a", "b"], X),
            lambda engine=engine: engine.step_each(["a", "b"], X),
            lambda engine=engine: engine.observe_many(["a", "b"], X),
            lambda engine=engine: engine.run("a", X),
        ):
            with pytest.raises(BadValueError, match=r"expected numbers, got (np\.)?(True|False)"):
                call()
        assert engine.streams() == []
    with pytest.raises(BadValueError, match=r"X: expected numbers, got (np\.)?(True|False)"):
        observations(["a", "b"], X)


def test_a_label_of_one_output_may_be_a_number_everywhere() -> None:
    """A number or a list of one; a matrix and a boolean are refused, here and in clients."""
    stage = Online(adapt="rls", labels=9, targets=(-1,))
    plain = random_model([LSTM(2, 4), Dense(4, 1)]).with_online(stage)
    for model in (plain, plain.with_offsets([1e9, 0.0])):
        states = []
        for y in (0.5, [0.5], (0.5,), np.float64(0.5), np.array(0.5), np.array([0.5])):
            engine = Engine(model, 10)
            engine.step("a", [1e9, 2.0])
            engine.learn("a", 1, y)
            states.append(engine.export_stream("a"))
            assert label("a", 1, y) == label("a", 1, [0.5])
        assert len(set(states)) == 1
        bad: Any
        for bad, error in (([[0.5]], ShapeError), ([True], BadValueError), (True, BadValueError)):
            with pytest.raises(error):
                engine.learn("a", 1, bad)
            with pytest.raises(error):
                label("a", 1, bad)
