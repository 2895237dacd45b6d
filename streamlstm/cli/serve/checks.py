"""Options of ``streamlstm serve`` that do not go together, told before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping

from typer import BadParameter

from streamlstm.errors import EndpointError
from streamlstm.serving.endpoints import check_endpoint


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
