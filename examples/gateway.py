"""Many sensors over one connection: coroutines that share an AsyncClient.

Each sensor waits for its own prediction only; the worker steps concurrent requests as one block.

    streamlstm serve model.safetensors
    python examples/gateway.py --sensors 20 --count 50
"""

import argparse
import asyncio
import math
import time

from streamlstm import AsyncClient, wire


async def sensor(client: AsyncClient, number: int, features: int, count: int) -> float:
    """Request `count` predictions; return the first output of the last one."""
    y = math.nan
    for n in range(count):
        x = [math.sin(0.1 * n + number + feature) for feature in range(features)]
        y = float((await client.step(f"sensor-{number}", x))[0])
    return y


async def run(router: str, sensors: int, count: int) -> None:
    """Run all sensors concurrently."""
    async with AsyncClient(router) as client:
        features = len((await client.info())["model"]["inputs"])
        start = time.perf_counter()
        last = await asyncio.gather(
            *(sensor(client, number, features, count) for number in range(sensors))
        )
        seconds = time.perf_counter() - start
    for number, y in enumerate(last[:5]):
        print(f"sensor-{number} {y:.6f}")
    print(f"{sensors * count:,} predictions, {sensors * count / seconds:,.0f} a second")


def main() -> None:
    """Run the gateway."""
    arguments = argparse.ArgumentParser(description="Many sensors over one connection.")
    arguments.add_argument("--router", default=wire.ROUTER, help="the worker's ROUTER socket")
    arguments.add_argument("--sensors", type=int, default=20)
    arguments.add_argument("--count", type=int, default=50, help="observations of each")
    given = arguments.parse_args()
    asyncio.run(run(given.router, given.sensors, given.count))


if __name__ == "__main__":
    main()
