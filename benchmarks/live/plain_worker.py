"""A straightforward worker for comparison: pyzmq, msgpack and PyTorch's LSTMCell.

    python -m benchmarks.live.plain_worker MODEL --endpoints FILE

It handles one message at a time, and the state of each stream is a pair of tensors in a dict. It
answers only STEP, as docs/protocol.md specifies.
"""

import argparse
from pathlib import Path
from typing import Any

import msgpack
import torch
import zmq

from streamlstm import Model

from .echo import bind


def modules(model: Model) -> tuple[Any, Any]:
    """Return PyTorch's cell and head with the weights of an LSTM and a dense layer."""
    recurrent, dense = model.weights
    cell = torch.nn.LSTMCell(recurrent["weight_ih"].shape[1], recurrent["weight_hh"].shape[1])
    head = torch.nn.Linear(dense["weight"].shape[1], dense["weight"].shape[0])
    with torch.no_grad():
        cell.weight_ih.copy_(torch.tensor(recurrent["weight_ih"]))
        cell.weight_hh.copy_(torch.tensor(recurrent["weight_hh"]))
        cell.bias_ih.copy_(torch.tensor(recurrent["bias"]))
        cell.bias_hh.zero_()
        head.weight.copy_(torch.tensor(dense["weight"]))
        head.bias.copy_(torch.tensor(dense["bias"]))
    return cell, head


def serve(socket: zmq.Socket[bytes], cell: Any, head: Any) -> None:
    """Answer one message after the other, without end."""
    states: dict[str | int, tuple[Any, Any]] = {}
    zeros = torch.zeros(1, cell.hidden_size)
    with torch.inference_mode():
        while True:
            identity, frame = socket.recv_multipart()
            kind, stream, seq, x = msgpack.unpackb(frame)
            if kind != 1:
                reply = [255, None, None, "unknown-kind", "expected STEP"]
            else:
                row = torch.frombuffer(bytearray(x), dtype=torch.float32).unsqueeze(0)
                h, c = cell(row, states.get(stream, (zeros, zeros)))
                states[stream] = (h, c)
                reply = [129, stream, seq, head(h)[0].numpy().tobytes()]
            socket.send_multipart([identity, msgpack.packb(reply)])


def main() -> None:
    """Serve until a signal ends the process."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", 1)[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--endpoints", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    serve(bind(arguments.endpoints), *modules(Model.load(arguments.model)))


if __name__ == "__main__":
    main()
