"""Every argument of the public names with values of wrong kinds: all errors are StreamLSTMError."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import streamlstm as sl
from streamlstm import LSTM, Dense, Engine, Online
from streamlstm.client.requests import label, observations
from streamlstm.errors import BadValueError, ShapeError, StreamLSTMError

from ..contract.models import random_model


class RequiresGrad:
    """What NumPy meets in a tensor of PyTorch that requires a gradient."""

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use detach().")


class OnAnotherDevice:
    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise TypeError("can't convert cuda:0 device type tensor to numpy.")


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


HUGE = 10**5000  # more digits than Python converts to text

WRONG: dict[str, Any] = {
    "None": None,
    "object": object(),
    "unprintable": Unprintable(),
    "function": len,
    "text": "text",
    "empty text": "",
    "NUL": "a\0b",
    "surrogate": "\ud800",
    "long text": "x" * 1_500,
    "bytes": b"bytes",
    "True": True,
    "minus one": -1,
    "zero": 0,
    "1.5": 1.5,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "minus infinity": -float("inf"),
    "complex": 1j,
    "10**9": 10**9,
    "10**30": 10**30,
    "-10**30": -(10**30),
    "huge": HUGE,
    "-huge": -HUGE,
    "numpy int": np.int64(-7),
    "numpy float": np.float32(2.5),
    "empty list": [],
    "[None]": [None],
    "[[None]]": [[None]],
    "ragged": [[1.0], [1.0, 2.0]],
    "texts": ["a", "b"],
    "huge in a list": [HUGE],
    "unprintable in a list": [Unprintable()],
    "dict": {"a": 1},
    "set": {1, 2},
    "generator": (n for n in ()),
    "0-d array": np.array(5.0),
    "object array": np.array([None, object()], object),
    "0-d object array": np.array(None, object),
    "text array": np.array(["a"]),
    "time array": np.array(["2020-01-01"], "datetime64[s]"),
    "structured": np.zeros(2, [("a", "f4")]),
    "complex array": np.array([1j, 2j]),
    "empty array": np.zeros(0),
    "3-d array": np.zeros((2, 2, 2)),
    "not contiguous": np.zeros((4, 6), np.float64).T[::2],
    "big-endian": np.zeros(2, ">f8"),
    "int array": np.array([-5, 2**62]),
    "NaN array": np.full(2, np.nan),
    "masked": np.ma.masked_array([1.0, 2.0], [True, False]),
    "requires grad": RequiresGrad(),
    "list that requires grad": [RequiresGrad(), RequiresGrad()],
    "on another device": OnAnotherDevice(),
    "path": Path("/nonexistent/\udcff"),
    "folder": Path("/"),
    "class": int,
    "slice": slice(3),
    "exception": ValueError("x"),
}


class Call(NamedTuple):
    """A call and its good arguments."""

    function: Callable[..., Any]
    arguments: dict[str, Any]


MODEL = random_model([sl.LSTM(2, 3), sl.Dense(3, 1)])
X = [0.5, 0.25]
NOBODY = "tcp://127.0.0.1:9"  # nothing listens there


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


def client(kind: str, method: str | None = None, **fixed: Any) -> Callable[..., Any]:
    """Make a client, call a method with the arguments, or pass them to the client."""

    def call(**arguments: Any) -> Any:
        own = fixed if method else {**fixed, **arguments}
        made = getattr(sl, kind)(**own)
        try:
            return getattr(made, method)(**arguments) if method else None
        finally:
            with suppress(StreamLSTMError):
                made.close()

    return call


def async_client(kind: str, method: str | None = None, **fixed: Any) -> Callable[..., Any]:
    async def call(arguments: dict[str, Any]) -> Any:
        made = getattr(sl, kind)(**(fixed if method else {**fixed, **arguments}))
        try:
            return await getattr(made, method)(**arguments) if method else None
        finally:
            with suppress(StreamLSTMError):
                await made.close()

    return lambda **arguments: asyncio.run(call(arguments))


def first_listed(prefix: Any) -> Any:
    with sl.Client(NOBODY, timeout=0.02) as made:
        return next(made.list_streams(prefix))


STEP = {"stream": "a", "x": X, "seq": 2, "time": 1.0}
MANY = {"streams": ["a", "b"], "X": [X, X], "seqs": [2, 1]}
WEIGHTS = [dict(weights) for weights in MODEL.weights]
SHORT = {"timeout": 0.02}
CONNECT = {"timeout": 0.02, "key": None, "server": None, "max_message_bytes": 10_000}

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
        )
    },
    "to_onnx": Call(sl.to_onnx, {"model": MODEL, "path": "/nonexistent/no.onnx"}),
    # --- clients: nobody answers them ---
    "Client": Call(client("Client"), {"router": NOBODY, "window": 5, **CONNECT}),
    **{
        f"Client.{name}": Call(client("Client", name, router=NOBODY, **SHORT), arguments)
        for name, arguments in (
            ("step", STEP),
            ("step_many", MANY),
            ("submit", STEP),
            ("submit_many", MANY),
            ("reset", {"stream": "a"}),
            ("forget", {"stream": "a"}),
            ("export_stream", {"stream": "a"}),
            ("import_stream", {"stream": "a", "blob": b"x"}),
            ("last_seqs", {"streams": ["a"]}),
            ("reload", {"anew": True}),
        )
    },
    "Client.list_streams": Call(first_listed, {"prefix": "a"}),
    "Publisher": Call(
        client("Publisher"), {"pull": NOBODY, "linger": 0.01, "delay": 0.1, **CONNECT}
    ),
    "Publisher.send": Call(client("Publisher", "send", pull=NOBODY, **SHORT), STEP),
    "Publisher.send_many": Call(client("Publisher", "send_many", pull=NOBODY, **SHORT), MANY),
    "Subscriber": Call(
        client("Subscriber"),
        {"xpub": NOBODY, "streams": ["a"], "timeout": 0.02, "key": None, "server": None},
    ),
    "ReplayingPublisher": Call(
        client("ReplayingPublisher"),
        {
            "router": NOBODY,
            "journal": None,
            "sync": False,
            "max_rows": 5,
            "max_bytes": 10_000,
            "retry": 0.5,
            "linger": 0.01,
            "leave_out": True,
            "on_prediction": print,
            **CONNECT,
        },
    ),
    **{
        f"ReplayingPublisher.{name}": Call(
            client("ReplayingPublisher", name, router=NOBODY, linger=0.01, **SHORT), arguments
        )
        for name, arguments in (
            ("send", {"stream": "a", "x": X, "time": 1.0}),
            ("send_many", {"streams": ["a"], "X": [X]}),
            ("last_seq", {"stream": "a"}),
            ("flush", {"timeout": 0.01}),
        )
    },
    "AsyncClient": Call(async_client("AsyncClient"), {"router": NOBODY, "window": 5, **CONNECT}),
    **{
        f"AsyncClient.{name}": Call(
            async_client("AsyncClient", name, router=NOBODY, **SHORT), arguments
        )
        for name, arguments in (
            ("step", STEP),
            ("step_many", MANY),
            ("import_stream", {"stream": "a", "blob": b"x"}),
            ("last_seqs", {"streams": ["a"]}),
        )
    },
    "AsyncPublisher": Call(
        async_client("AsyncPublisher"), {"pull": NOBODY, "linger": 0.01, "delay": 0.1, **CONNECT}
    ),
    "AsyncPublisher.send": Call(async_client("AsyncPublisher", "send", pull=NOBODY, **SHORT), STEP),
    "AsyncSubscriber": Call(
        async_client("AsyncSubscriber"), {"xpub": NOBODY, "streams": ["a"], "timeout": 0.02}
    ),
    "AsyncReplayingPublisher": Call(
        async_client("AsyncReplayingPublisher"),
        {"router": NOBODY, "max_rows": 5, "retry": 0.5, "linger": 0.01, **CONNECT},
    ),
    "AsyncReplayingPublisher.send": Call(
        async_client("AsyncReplayingPublisher", "send", router=NOBODY, linger=0.01, **SHORT),
        {"stream": "a", "x": X, "time": 1.0},
    ),
}


def raw_errors(call: Call, argument: str) -> Iterator[str]:
    """Yield what is raised besides StreamLSTMError with each wrong value of an argument."""
    for kind, value in WRONG.items():
        if argument == "router" and callable(value):
            continue  # where a function is expected, and what it raises is its owner's
        try:
            call.function(**{**call.arguments, argument: value})
        except StreamLSTMError as error:
            if len(str(error)) < 10 or len(str(error)) > 2_000:
                yield f"{kind}: {type(error).__name__} of {len(str(error))} characters"
        except Exception as error:
            yield f"{kind}: {type(error).__name__}: {str(error)[:100]}"


@pytest.mark.parametrize(
    ("name", "argument"), [(name, argument) for name in CALLS for argument in CALLS[name].arguments]
)
def test_a_wrong_argument_is_refused_with_an_error_of_ours(
    name: str, argument: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # some of the values are names of files to write
    assert not list(raw_errors(CALLS[name], argument))


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
