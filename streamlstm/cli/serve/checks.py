"""Options of ``streamlstm serve`` that do not go together, told before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from typer import BadParameter

from streamlstm.backends.factory import check_backend
from streamlstm.errors import EndpointError
from streamlstm.serving.access.curve_server import CurveServer
from streamlstm.serving.endpoints import check_endpoint
from streamlstm.serving.eviction import check_eviction
from streamlstm.serving.queue_limits import QueueLimits
from streamlstm.serving.worker import check_loop


def check_options(given: Mapping[str, Any]) -> None:
    """Check all options for which no model and no socket is needed, by the names of ``serve``.

    Raises
    ------
    BadParameter, StreamLSTMError
    """
    backend, loop = check_device(given["backend"], given["device"]), given["loop"]
    check_backend(backend, given["weights"])
    check_loop(loop, backend)
    check_store(given["store"], given["other_model"], given["take_over"])
    if loop == "python" and any(given[name] for name in ("spin", "queue_messages", "queue_bytes")):
        raise BadParameter(
            "--spin and --queue-... are for the compiled loop, not for --loop python"
        )
    queue_limits(given)
    check_eviction(given["when_full"], given["idle_ttl"], given["store"])
    curve_server(given["key"], given["allow"])


def queue_limits(given: Mapping[str, Any]) -> QueueLimits:
    """Return how much may wait in a worker.

    Raises
    ------
    StreamLSTMError
        If a message would not fit.
    """
    most: int = given["max_message_bytes"]
    limits = QueueLimits(
        given["queue_messages"] or 16_384, given["queue_bytes"] or max(2**26, 8 * most)
    )
    limits.check(most)
    return limits


def curve_server(key: Path | None, allow: Path | None) -> CurveServer | None:
    """Return the keys of a worker; None without.

    Raises
    ------
    BadParameter
        If only one is given.
    """
    if key is None and allow is None:
        return None
    if key is None or allow is None:
        raise BadParameter("expected both --key and --allow, or neither")
    return CurveServer(key, allow)


def check_device(backend: str, device: int | None) -> str:
    """Return the name of the backend with its device.

    Raises
    ------
    BadParameter
        If it has none.
    """
    if device is None:
        return backend
    if backend != "cuda":
        raise BadParameter(f"--device is for --backend cuda, not for {backend}")
    return f"cuda:{device}"


def check_store(store: str, other_model: str, take_over: bool) -> None:
    """Check what may be done with the store.

    Raises
    ------
    BadParameter
    """
    if other_model not in ("refuse", "keep", "anew"):
        raise BadParameter(f"--other-model: expected refuse, keep or anew, got {other_model!r}")
    if take_over and store == "memory":
        raise BadParameter(
            "--take-over takes a store in Redis from another worker: expected --store redis://... "
            "beside it"
        )
    if take_over and store.startswith("lmdb:"):
        raise BadParameter(
            f"--take-over is for a store in Redis, not for {store}, whose worker must be stopped"
        )


def check_sockets(endpoints: Mapping[str, str], insecure: bool, has_keys: bool) -> None:
    """Check the endpoint of each socket.

    Raises
    ------
    EndpointError
    """
    for name, endpoint in endpoints.items():
        check_endpoint(name, endpoint, insecure, has_keys)
        if endpoint.startswith("inproc://"):
            raise EndpointError(
                f"--{name} {endpoint}: no other process could reach it; expected "
                "tcp://ADDRESS:PORT or ipc://PATH"
            )


def ports_of(text: str | None) -> list[int] | None:
    """Return the ports that a worker had in its former life, by which a fleet starts it again.

    Raises
    ------
    BadParameter
    """
    if text is None:
        return None
    ports = text.split(",")
    if len(ports) != 3 or not all(port.isascii() and port.isdecimal() for port in ports):
        raise BadParameter(f"--fleet-ports: expected three ports, got {text!r}")
    return [min(int(port), 65_535) for port in ports]
