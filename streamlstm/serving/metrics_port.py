"""Serves a worker's metrics over HTTP, for Prometheus to scrape."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server

from .. import wire
from ..errors import EndpointError
from .endpoints import check_reach, describe_bind_error
from .metrics import WorkerCollector
from .service import Service

NAME = "metrics"  # the option of `streamlstm serve`
ANYWHERE = "127.0.0.1:*"


def parse_address(address: str, insecure: bool) -> tuple[str, int]:
    """Return host and port of HOST:PORT; port 0 lets the system choose.

    Raises
    ------
    EndpointError
        If it is malformed, or can be reached by other machines and `insecure` is false.
    """
    host, colon, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not host or "/" in host or (":" in host and not bracketed):
        raise EndpointError(
            f"--{NAME} {address}: expected HOST:PORT, for example 127.0.0.1:9464 or [::1]:9464"
        )
    if port not in ("*", "0") and not wire.is_port(f"tcp://{address}"):
        raise EndpointError(
            f"--{NAME} {address}: port must be 1 to {wire.MAX_PORT}, or * or 0 to let the system "
            f"choose, got {port}"
        )
    host = host.strip("[]")
    check_reach(NAME, address, host, insecure)
    return host, 0 if port == "*" else int(port)


@contextmanager
def serving_metrics(service: Service, address: str, *, insecure: bool = False) -> Iterator[str]:
    """Serve a worker's metrics over HTTP within ``with``; yields the URL.

    Parameters
    ----------
    service : Service
        The worker's service.
    address : str
        HOST:PORT; port ``*`` or 0 lets the system choose.
    insecure : bool
        Allow addresses that other machines can reach.

    Raises
    ------
    EndpointError
        If the address is taken, malformed or not allowed.
    """
    host, port = parse_address(address, insecure)
    registry = CollectorRegistry(auto_describe=True)
    registry.register(WorkerCollector(service))
    try:
        server, thread = start_http_server(port, host, registry)
    except socket.gaierror as error:
        raise EndpointError(
            f"--{NAME} {address}: {host} is not a host that is known here ({error.strerror})"
        ) from None
    except OSError as error:
        reason = describe_bind_error(error, NAME, ANYWHERE)
        raise EndpointError(f"--{NAME} {address}: {reason}") from None
    try:
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
