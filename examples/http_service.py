"""An HTTP service with an embedded engine, using only the standard library.

    python examples/http_service.py model.safetensors --port 8000
    curl -d '{"x": [0.3]}' http://127.0.0.1:8000/streams/pump-7

POST steps a stream, GET lists the live streams, DELETE deletes one.
"""

import argparse
import json
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from streamlstm import Engine, Model, StreamLSTMError
from streamlstm.errors import CapacityError, UnknownStreamError

MAX_BODY_BYTES = 1_000_000
STATUS = {
    UnknownStreamError: HTTPStatus.NOT_FOUND,
    CapacityError: HTTPStatus.INSUFFICIENT_STORAGE,
}


class Service(ThreadingHTTPServer):
    """Handles each connection in its own thread; the engine is safe to call from several."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], engine: Engine) -> None:
        super().__init__(address, Handler)
        self.engine = engine


class Handler(BaseHTTPRequestHandler):
    """Maps requests to calls of the engine."""

    server: Service
    protocol_version = "HTTP/1.1"  # connections stay open from step to step
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """List the live streams."""
        engine = self.server.engine
        self._answer(HTTPStatus.OK, {"streams": engine.streams(), "steps": engine.steps})

    def do_POST(self) -> None:
        """Step a stream by the observation in the body."""
        try:
            x = json.loads(self._body())["x"]
        except (ValueError, KeyError, TypeError):
            self.close_connection = True  # a part of the body may be unread
            self._answer(HTTPStatus.BAD_REQUEST, {"error": 'expected a body like {"x": [0.3]}'})
            return
        self._try(lambda stream: {"prediction": self.server.engine.step(stream, x).tolist()})

    def do_DELETE(self) -> None:
        """Delete a stream."""
        self._try(self._forget)

    def _forget(self, stream: str) -> dict[str, Any]:
        self.server.engine.forget(stream)
        return {"forgotten": stream}

    def _try(self, action: Callable[[str], dict[str, Any]]) -> None:
        prefix, _, stream = self.path.partition("/streams/")
        if prefix or not stream:
            self._answer(HTTPStatus.NOT_FOUND, {"error": "expected /streams/NAME"})
            return
        try:
            self._answer(HTTPStatus.OK, action(unquote(stream)))
        except StreamLSTMError as error:
            status = STATUS.get(type(error), HTTPStatus.BAD_REQUEST)
            self._answer(status, {"error": str(error), "code": error.code})

    def _body(self) -> bytes:
        length = int(self.headers.get("Content-Length", 0))
        if not 0 <= length <= MAX_BODY_BYTES:
            raise ValueError(f"expected a body of at most {MAX_BODY_BYTES} bytes, got {length}")
        return self.rfile.read(length)

    def _answer(self, status: HTTPStatus, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log no requests."""


def main() -> None:
    """Serve until Ctrl-C."""
    arguments = argparse.ArgumentParser(description="Serve predictions over HTTP.")
    arguments.add_argument("model", help="model file of streamlstm train")
    arguments.add_argument("--port", type=int, default=8000, help="0: the system chooses")
    given = arguments.parse_args()

    engine = Engine(Model.load(given.model))
    with Service(("127.0.0.1", given.port), engine) as service:
        print(f"http://127.0.0.1:{service.server_port}", flush=True)
        try:
            service.serve_forever()
        except KeyboardInterrupt:
            print(f"stopped after {engine.steps:,} steps")


if __name__ == "__main__":
    main()
