"""A custom publisher: takes measurements, sends them, and uses the predictions.

Copy it and put your own measurement into `measure`.

    python workers/publisher.py --stream pump-7 --rate 10
"""

import argparse
import math
import time
from collections.abc import Iterator

from streamlstm import Client, wire
from streamlstm.errors import RemoteError


def measure(features: int, rate: float) -> Iterator[list[float]]:
    """Yield an observation, float32[F], `rate` times a second; replace the sines by your sensor."""
    start = time.monotonic()
    count = 0
    while True:
        now = count / rate
        yield [math.sin(now * (feature + 1)) for feature in range(features)]
        count += 1
        time.sleep(max(0.0, start + count / rate - time.monotonic()))


def main() -> None:
    """Send observations of one stream and print the predictions."""
    arguments = argparse.ArgumentParser(description="Send observations, print predictions.")
    arguments.add_argument("--router", default=wire.ROUTER, help="the worker's ROUTER socket")
    arguments.add_argument("--stream", default="pump-7", help="name of the stream")
    arguments.add_argument("--rate", type=float, default=10.0, help="observations per second")
    arguments.add_argument("--count", type=int, help="stop after this many; never by default")
    given = arguments.parse_args()

    with Client(given.router) as client:
        features = len(client.info()["model"]["inputs"])
        for number, x in enumerate(measure(features, given.rate), start=1):
            try:
                y = client.step(given.stream, x, time=time.time())
            except RemoteError as error:  # this observation was refused; the next may be valid
                print(f"{given.stream}: {error.code}: {error}")
            else:
                print(given.stream, *(f"{value:.4f}" for value in y), flush=True)
            if number == given.count:
                return


if __name__ == "__main__":
    main()
