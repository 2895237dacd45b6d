"""An HTTP service of your own, with the engine inside: FastAPI and an AsyncEngine.

    pip install fastapi uvicorn
    python examples/http_service.py model.safetensors --port 8000
    curl -H 'content-type: application/json' -d '{"x": [0.3]}' http://127.0.0.1:8000/streams/pump-7

The engine steps all requests of one iteration of the event loop as one block. POST steps a stream,
GET lists the live streams, DELETE deletes one; /docs describes them.

If nothing of your own is to happen between request and answer, none of this has to be written:
`streamlstm gateway http` serves a worker or a fleet over HTTP (docs/http.md), and its streams
survive the process.
"""

import argparse
import asyncio
import socket

import numpy as np
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from streamlstm import AsyncEngine, Engine, Model, StreamLSTMError
from streamlstm.errors import CapacityError, UnknownStreamError

STATUS = {UnknownStreamError: 404, CapacityError: 507}


class Observation(BaseModel):
    """The body of a POST; None stands for a missing value."""

    x: list[float | None]
    time: float | None = None


def make_app(engine: Engine) -> FastAPI:
    """Return the service."""
    app, stepping = FastAPI(title="Predictions"), AsyncEngine(engine)

    @app.post("/streams/{stream}")
    async def observe(stream: str, given: Observation) -> dict[str, list[float]]:
        x = np.array(given.x, np.float64)  # NaN for None
        seen = await stepping.observe(stream, x, time=given.time)
        return {"prediction": seen.y.tolist()}

    @app.get("/streams")
    async def streams() -> dict[str, object]:
        return {"streams": engine.streams(), "steps": engine.steps}

    @app.delete("/streams/{stream}")
    async def forget(stream: str) -> dict[str, str]:
        await stepping.forget(stream)
        return {"forgotten": stream}

    @app.exception_handler(StreamLSTMError)
    async def refuse(_: Request, error: StreamLSTMError) -> JSONResponse:
        status = STATUS.get(type(error), 400)
        return JSONResponse({"error": str(error), "code": error.code}, status)

    return app


def main() -> None:
    """Serve until Ctrl-C."""
    arguments = argparse.ArgumentParser(description="Serve predictions over HTTP.")
    arguments.add_argument("model", help="model file of streamlstm train")
    arguments.add_argument("--port", type=int, default=8000, help="0: the system chooses")
    given = arguments.parse_args()

    engine = Engine(Model.load(given.model))
    server = uvicorn.Server(uvicorn.Config(make_app(engine), log_level="warning"))
    with socket.create_server(("127.0.0.1", given.port)) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        try:
            asyncio.run(server.serve([listener]))
        except KeyboardInterrupt:
            print(f"stopped after {engine.steps:,} steps")


if __name__ == "__main__":
    main()
