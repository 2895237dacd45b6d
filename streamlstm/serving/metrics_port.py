"""Serves a worker's metrics and health over HTTP: for Prometheus, and for who starts workers."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.registry import Collector

from .. import wire
from ..errors import EndpointError
from .addresses import bracketed
from .endpoints import check_reach, describe_bind_error
from .http_port import HttpPort, Request, Response, text
from .metrics import WorkerCollector
from .service import Service

NAME = "metrics"  # the option of `streamlstm serve`
ANYWHERE = "127.0.0.1:*"


def parse_address(
    address: str, insecure: bool, name: str = NAME, port: int = 9464, remedy: str = ""
) -> tuple[str, int]:
    """Return address and port of HOST:PORT; port 0 lets the system choose.

    ``name`` is the option that says so, ``port`` an example, ``remedy`` what else may be done where
    other machines reach the address.

    Raises
    ------
    EndpointError
        If it is malformed or its host not known, or it can be reached by other machines and
        `insecure` is false.
    """
    host, colon, given = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not host or "/" in host or (":" in host and not bracketed):
        raise EndpointError(
            f"--{name} {address}: expected HOST:PORT, for example 127.0.0.1:{port} or [::1]:{port}"
        )
    if given not in ("*", "0") and not wire.is_port(f"tcp://{address}"):
        raise EndpointError(
            f"--{name} {address}: port must be 1 to {wire.MAX_PORT}, or * or 0 to let the system "
            f"choose, got {given}"
        )
    bound = check_reach(name, address, host, insecure, remedy)
    return bound, 0 if given == "*" else int(given)


class MetricsPort:
    """Answers ``/metrics``, ``/healthz`` and ``/ready``.

    Parameters
    ----------
    collector : Collector
    health, readiness : callable
        Return a problem, or None if there is none (service.py).
    """

    def __init__(
        self,
        collector: Collector,
        health: Callable[[], str | None],
        readiness: Callable[[], str | None],
    ) -> None:
        self._health, self._readiness = health, readiness
        registry = CollectorRegistry(auto_describe=True)
        registry.register(collector)
        self._render = make_wsgi_app(registry)

    def respond(self, request: Request) -> Response:
        """Return the response to a request."""
        if request.path == "/metrics":
            return self._metrics(request)
        if request.path == "/healthz":
            return _verdict(self._health())
        if request.path == "/ready":
            return _verdict(self._readiness())
        return text(404, "expected /metrics, /healthz or /ready\n")

    def _metrics(self, request: Request) -> Response:
        """Let prometheus_client write the text, in the format and encoding that is asked for."""
        status, headers = "", []

        def start(line: str, fields: list[tuple[str, str]]) -> None:
            nonlocal status, headers
            status, headers = line, fields

        environ: dict[str, Any] = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query,
            "HTTP_ACCEPT": request.headers.get("accept", ""),
            "HTTP_ACCEPT_ENCODING": request.headers.get("accept-encoding", ""),
        }
        body = b"".join(self._render(environ, start))
        return Response(int(status.split()[0]), headers, body)


def _verdict(problem: str | None) -> Response:
    return text(200, "ok\n") if problem is None else text(503, f"{problem}\n")


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen()
    except BaseException:
        listening.close()
        raise
    return listening


def serving_metrics(
    service: Service, address: str, *, insecure: bool = False
) -> AbstractContextManager[str]:
    """Serve a worker's metrics and health over HTTP within ``with``, as :func:`serving`."""
    health, readiness = service.health_problem, service.readiness_problem
    return serving(MetricsPort(WorkerCollector(service), health, readiness), address, insecure)


@contextmanager
def serving(port_of: MetricsPort, address: str, insecure: bool = False) -> Iterator[str]:
    """Serve metrics and health over HTTP within ``with``; yields the URL of the metrics.

    Parameters
    ----------
    port_of : MetricsPort
        Answers the requests.
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
    try:
        listening = _listen(host, port)
    except OSError as error:
        reason = describe_bind_error(error, NAME, ANYWHERE)
        raise EndpointError(f"--{NAME} {address}: {reason}") from None
    url = f"http://{bracketed(host)}:{listening.getsockname()[1]}/metrics"
    server = HttpPort(listening, port_of.respond)
    try:
        yield url
    finally:
        server.close()
