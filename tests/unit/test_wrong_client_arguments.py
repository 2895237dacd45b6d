"""Every argument of the clients with values of wrong kinds: all errors are StreamLSTMError."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import streamlstm as sl
from streamlstm.errors import StreamLSTMError

from .wrong_values import Call, refusals_of

X = [0.5, 0.25]
NOBODY = "tcp://127.0.0.1:9"  # nothing listens there


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
SHORT = {"timeout": 0.02}
CONNECT = {"timeout": 0.02, "key": None, "server": None, "max_message_bytes": 10_000}

# Nobody answers them.
CALLS: dict[str, Call] = {
    "Client": Call(client("Client"), {"router": NOBODY, "window": 5, **CONNECT}),
    "Client of a fleet": Call(client("Client"), {"endpoints": NOBODY, **CONNECT}),
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


test_a_wrong_argument_is_refused_with_an_error_of_ours = refusals_of(CALLS)
