"""Make pytorch_*.npz: random networks of PyTorch, a thousand steps of input, and their outputs.

    pip install torch==2.13.0
    python tests/golden/make_pytorch.py

The arrays have the names of PyTorch's state dict, in addition to ``x[T, F]`` and ``y[T, O]``.
"""

from pathlib import Path

import numpy as np
import torch

STEPS = 1000
CASES = {
    "pytorch_one_layer": (8, 64, 1, 1),
    "pytorch_two_layers": (3, 21, 2, 5),
}


def make(name: str, features: int, hidden: int, layers: int, outputs: int) -> None:
    """Write one case."""
    generator = torch.Generator().manual_seed(len(name))
    lstm = torch.nn.LSTM(features, hidden, num_layers=layers, batch_first=True)
    head = torch.nn.Linear(hidden, outputs)
    with torch.no_grad():
        for parameter in (*lstm.parameters(), *head.parameters()):
            rows = torch.rand(parameter.shape[0], generator=generator) + 0.5
            values = torch.randn(parameter.shape, generator=generator) / hidden**0.5
            parameter.copy_(values * rows.reshape(-1, *[1] * (parameter.dim() - 1)))
        x = torch.randn(1, STEPS, features, generator=generator)
        y = head(lstm(x)[0])
    arrays = {f"lstm.{key}": value.numpy() for key, value in lstm.state_dict().items()}
    arrays |= {f"head.{key}": value.numpy() for key, value in head.state_dict().items()}
    path = Path(__file__).with_name(f"{name}.npz")
    np.savez_compressed(path, x=x[0].numpy(), y=y[0].numpy(), torch=torch.__version__, **arrays)
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB, torch {torch.__version__}")


if __name__ == "__main__":
    for case, sizes in CASES.items():
        make(case, *sizes)
