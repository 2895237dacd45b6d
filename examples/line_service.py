"""A service on asyncio with the engine inside it: JSON in, JSON out, one line each.

    python examples/line_service.py model.safetensors --port 9000
    echo '{"stream": "pump-7", "x": [0.3]}' | nc -N 127.0.0.1 9000

What all connections ask in one turn of the event loop, the engine steps as one block. The same few
lines belong into a web framework: `await engine.step(...)` in a handler is all there is to it.
"""

import argparse
import asyncio
import json

from streamlstm import AsyncEngine, Engine, Model, StreamLSTMError


async def answer(engine: AsyncEngine, line: bytes) -> dict[str, object]:
    """Step the stream that a line names."""
    try:
        asked = json.loads(line)
        stream, x = asked["stream"], asked["x"]
    except (ValueError, KeyError, TypeError):
        return {"error": 'expected a line like {"stream": "pump-7", "x": [0.3]}'}
    try:
        return {"stream": stream, "prediction": (await engine.step(stream, x)).tolist()}
    except StreamLSTMError as error:
        return {"error": str(error), "code": error.code}


async def serve(engine: AsyncEngine, port: int) -> None:
    """Answer every line of every connection until Ctrl-C."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async for line in reader:
                writer.write(json.dumps(await answer(engine, line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):  # it hung up, or sent a line without an end
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", port) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


def main() -> None:
    """Serve until Ctrl-C."""
    arguments = argparse.ArgumentParser(description="Serve predictions, a line of JSON each.")
    arguments.add_argument("model", help="model file, from streamlstm train")
    arguments.add_argument("--port", type=int, default=9000, help="0 lets the system choose")
    given = arguments.parse_args()

    engine = Engine(Model.load(given.model))
    try:
        asyncio.run(serve(AsyncEngine(engine), given.port))
    except KeyboardInterrupt:
        print(f"stopped after {engine.steps:,} steps")


if __name__ == "__main__":
    main()
