"""A client without streamlstm: pyzmq, msgpack and docs/protocol.md are enough.

streamlstm serve model.safetensors
python examples/plain_client.py                  # a DEALER: several requests in flight
python examples/plain_client.py --socket req     # a REQ: one request at a time

Of a fleet it may ask any worker: it follows `moved` (class Worker). examples/plain_client.mjs is
the same in JavaScript.
"""

import argparse
import math
import struct
import sys
import time
from typing import Any

import msgpack
import zmq

STEP, INFO, ERROR = 1, 6, 255


def main() -> int:
    """Request a few predictions of one stream."""
    arguments = argparse.ArgumentParser(description="A client with pyzmq and msgpack alone.")
    arguments.add_argument("--router", default="tcp://127.0.0.1:7450", help="the ROUTER socket")
    arguments.add_argument("--socket", choices=("dealer", "req"), default="dealer")
    arguments.add_argument("--stream", default="plain-1", help="name of the stream")
    arguments.add_argument("--count", type=int, default=5, help="observations to send")
    arguments.add_argument("--timeout", type=float, default=5.0, help="seconds to wait")
    given = arguments.parse_args()

    with zmq.Context() as context:
        worker = Worker(context, zmq.REQ if given.socket == "req" else zmq.DEALER, given.timeout)
        try:
            worker.connect(given.router)
            worker.socket.send(msgpack.packb([INFO]))
            features = len(decode(worker.socket.recv())[3]["model"]["inputs"])
            requests = [
                msgpack.packb([STEP, given.stream, 0, floats(wave(n, features))])
                for n in range(given.count)
            ]
            at_once = 1 if given.socket == "req" else len(requests)
            for n, (_, stream, _, y) in enumerate(worker.ask(requests, at_once)):
                print(f"{stream} {n}:", *(f"{value:.6f}" for value in numbers(y)))
        except zmq.Again:
            print(f"no answer from {worker.router}; is a worker running there?", file=sys.stderr)
            return 1
        finally:
            worker.socket.close()
    return 0


class Worker:
    """The worker that has a stream, and a connection to it."""

    def __init__(self, context: Any, kind: int, timeout: float) -> None:
        self.context, self.kind, self.timeout, self.epoch = context, kind, timeout, 0
        self.socket: Any = None

    def connect(self, router: str) -> None:
        """Connect to another worker."""
        if self.socket is not None:
            self.socket.close()
        self.router, self.socket = router, self.context.socket(self.kind)
        self.socket.set(zmq.RCVTIMEO, round(1000 * self.timeout))
        self.socket.set(zmq.LINGER, 0)
        self.socket.connect(router)

    def ask(self, requests: list[bytes], at_once: int) -> list[Any]:
        """Send requests of one stream, each with its number before it; return the replies.

        Those that are refused for now are sent again: in their order, and one by one, as of several
        that are refused with `busy` a later one might be accepted first.
        """
        replies, left = {}, list(range(len(requests)))
        while left:
            sent, refusal = left[:at_once], None
            for n in sent:
                frames = [requests[n]] if at_once == 1 else [n.to_bytes(4, "big"), requests[n]]
                self.socket.send_multipart(frames)
            for n in sent:
                *number, frame = self.socket.recv_multipart()
                place, message = int.from_bytes(number[0], "big") if number else n, decode(frame)
                if message[0] == ERROR:
                    refusal = refusal or message
                else:
                    replies[place] = message
            left = [n for n in left if n not in replies]
            if refusal is not None:
                at_once = 1
                self.follow(refusal)
        return [replies[n] for n in range(len(requests))]

    def follow(self, refusal: list[Any]) -> None:
        """Find the worker that has the stream now (`moved`), or wait a moment (`busy`)."""
        if refusal[3] == "moved":
            _, epoch, router = refusal[5:8]
            if router is not None and epoch > self.epoch:  # else it has nobody, or we know better
                self.epoch = epoch
                return self.connect(router)
        time.sleep(refusal[5] / 1000 if refusal[3] == "busy" and len(refusal) > 5 else 0.01)
        return None


def decode(frame: bytes) -> Any:
    """Decode a reply; an ERROR ends the program, but for those that say: not here, or not now."""
    message = msgpack.unpackb(frame)
    if message[0] == ERROR and message[3] not in ("moved", "busy"):
        _, stream, _, code, sentence = message[:5]
        raise SystemExit(f"{stream}: {code}: {sentence}")
    return message


def wave(n: int, features: int) -> list[float]:
    """Return the n-th observation: a sine for each feature."""
    return [math.sin(0.3 * n + feature) for feature in range(features)]


def floats(values: list[float]) -> bytes:
    """Encode numbers as little-endian float32."""
    return struct.pack(f"<{len(values)}f", *values)


def numbers(data: bytes) -> tuple[float, ...]:
    """Decode little-endian float32."""
    return struct.unpack(f"<{len(data) // 4}f", data)


if __name__ == "__main__":
    sys.exit(main())
