"""A client without streamlstm: pyzmq, msgpack and docs/protocol.md are enough.

streamlstm serve model.safetensors
python examples/plain_client.py                  # a DEALER: several requests in flight
python examples/plain_client.py --socket req     # a REQ: one request at a time
"""

import argparse
import math
import struct
import sys
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

    context = zmq.Context()
    socket = context.socket(zmq.REQ if given.socket == "req" else zmq.DEALER)
    socket.set(zmq.RCVTIMEO, round(1000 * given.timeout))
    socket.set(zmq.LINGER, 0)
    socket.connect(given.router)
    try:
        socket.send(msgpack.packb([INFO]))
        features = len(decode(socket.recv())[3]["model"]["inputs"])
        requests = [
            msgpack.packb([STEP, given.stream, 0, floats(wave(n, features))])
            for n in range(given.count)
        ]
        send = one_by_one if given.socket == "req" else all_at_once
        for n, (_, stream, _, y) in enumerate(send(socket, requests)):
            print(f"{stream} {n}:", *(f"{value:.6f}" for value in numbers(y)))
    except zmq.Again:
        print(f"no answer from {given.router}; is a worker running there?", file=sys.stderr)
        return 1
    finally:
        socket.close()
        context.term()
    return 0


def one_by_one(socket: "zmq.Socket[bytes]", requests: list[bytes]) -> list[Any]:
    """Send each request after the reply to the one before, as a REQ socket must."""
    replies = []
    for request in requests:
        socket.send(request)
        replies.append(decode(socket.recv()))
    return replies


def all_at_once(socket: "zmq.Socket[bytes]", requests: list[bytes]) -> list[Any]:
    """Send all requests, each with its number as an envelope, which orders the replies."""
    for n, request in enumerate(requests):
        socket.send_multipart([struct.pack(">Q", n), request])
    replies: list[Any] = [None] * len(requests)
    for _ in requests:
        number, frame = socket.recv_multipart()
        replies[struct.unpack(">Q", number)[0]] = decode(frame)
    return replies


def decode(frame: bytes) -> Any:
    """Decode a reply; an ERROR ends the program."""
    message = msgpack.unpackb(frame)
    if message[0] == ERROR:
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
