"""An asyncio service with an embedded engine: one line of JSON per request and per reply.

    python examples/line_service.py model.safetensors --port 9000
    echo '{"stream": "pump-7", "x": [0.3]}' | nc -N 127.0.0.1 9000

The engine steps all requests of one iteration of the event loop as one block. A handler of a web
framework works the same way: `await engine.step(...)`.
"""

import argparse
import asyncio
import json

from streamlstm import AsyncEngine, Engine, Model, StreamLSTMError


async def answer(engine: AsyncEngine, line: bytes) -> dict[str, object]:
    """Step the stream of a request; return the reply."""
    try:
        request = json.loads(line)
        stream, x = request["stream"], request["x"]
    except (ValueError, KeyError, TypeError):
        return {"error": 'expected a line like {"stream": "pump-7", "x": [0.3]}'}
    try:
        return {"stream": stream, "prediction": (await engine.step(stream, x)).tolist()}
    except StreamLSTMError as error:
        return {"error": str(error), "code": error.code}


async def serve(engine: AsyncEngine, port: int) -> None:
    """Answer every line of every connection until Ctrl-C."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async for line in reader:
                writer.write(json.dumps(await answer(engine, line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):  # disconnected, or the line is too long
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", port) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


def main() -> None:
    """Serve until Ctrl-C."""
    arguments = argparse.ArgumentParser(description="Serve predictions as lines of JSON.")
    arguments.add_argument("model", help="model file of streamlstm train")
    arguments.add_argument("--port", type=int, default=9000, help="0: the system chooses")
    given = arguments.parse_args()

    engine = Engine(Model.load(given.model))
    try:
        asyncio.run(serve(AsyncEngine(engine), given.port))
    except KeyboardInterrupt:
        print(f"stopped after {engine.steps:,} steps")


if __name__ == "__main__":
    main()
