"""Values of wrong kinds, and what calls raise that get them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from streamlstm.errors import StreamLSTMError


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


def refusals_of(calls: dict[str, Call]) -> Callable[..., None]:
    """Make the test that each argument of these calls is refused with an error of ours."""

    @pytest.mark.parametrize(
        ("name", "argument"), [(name, one) for name in calls for one in calls[name].arguments]
    )
    def refused(name: str, argument: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)  # some of the values are names of files to write
        assert not list(raw_errors(calls[name], argument))

    return refused
