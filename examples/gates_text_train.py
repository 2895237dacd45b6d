"""Trains the character model of examples/gates_text.py on this project's prose, with PyTorch.

pip install torch
python examples/gates_text_train.py --out examples/models/text.safetensors

The text is the documentation and the docstrings of the repository, split into sentences. Each
sweep reads the sentences in another order: the text before a full stop says nothing about the text
after it, so forgetting there pays. Every tenth sentence is held back and only scored.
"""

import argparse
import ast
import math
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from streamlstm import LSTM, Dense, Embedding, Model
from streamlstm.network.layers import Layer

ALPHABET = " abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,;:()/'-"
DIMENSION, HIDDEN = 10, 72
WINDOW, BATCH = 64, 16
HELD_BACK = 10  # one sentence in so many


def paragraphs(root: Path) -> Iterator[str]:
    """Yield the paragraphs of documentation and docstrings below a folder."""
    for path in sorted([*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("*/*.md")]):
        prose = re.sub(r"```.*?```", "\n\n", path.read_text("utf-8"), flags=re.DOTALL)
        prose = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", prose)  # the text of links
        yield from re.split(r"\n\s*\n|\n(?=\s*(?:[-*|#]|\d+\.) ?)", prose)
    for folder in ("streamlstm", "examples", "workers", "benchmarks", "tests"):
        for path in sorted((root / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                    yield from evenly_indented(ast.get_docstring(node) or "")


def evenly_indented(docstring: str) -> Iterator[str]:
    """Yield runs of equally indented lines: descriptions are indented below their parameters."""
    for _, lines in groupby(docstring.split("\n"), lambda line: len(line) - len(line.lstrip())):
        yield from re.split(r"\n\s*\n", "\n".join(lines))


def sentences(root: Path) -> list[str]:
    """Return each sentence once, in the letters of the alphabet."""
    found: dict[str, None] = {}
    for paragraph in paragraphs(root):
        text = re.sub(r"[*`]+|^[\s#>-]+", "", re.sub(r"\s+", " ", paragraph))
        for sentence in re.split(r"(?<=[a-z)]\.) (?=[A-Z])", text):
            whole = re.fullmatch(r"[A-Z][^.]*[a-z)']\.", sentence)
            if whole and sentence.count(" ") >= 3 and set(sentence) <= set(ALPHABET):
                found[sentence] = None
    return list(found)


class Network(nn.Module):  # type: ignore[misc] # torch is not read
    """Predicts the logits of the next character."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(ALPHABET), DIMENSION)
        self.lstm = nn.LSTM(DIMENSION, HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN, len(ALPHABET))

    def forward(
        self, characters: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor] | None
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """Return logits[B, T, N] of characters[B, T], and the new state."""
        hidden, state = self.lstm(self.embedding(characters), state)
        return self.head(hidden), state


def encode(chosen: list[str]) -> torch.Tensor:
    """Return the concatenated sentences as indices into the alphabet, int64[n]."""
    return torch.tensor([ALPHABET.index(character) for character in " ".join(chosen) + " "])


def sweep(
    network: Network, chosen: list[str], batch: int, optimizer: torch.optim.Optimizer | None
) -> float:
    """Read all sentences once, and train if there is an optimizer; return bits a character."""
    text = encode(chosen)
    lanes = text[: len(text) // batch * batch].reshape(batch, -1)
    state, losses = None, []
    for at in range(0, lanes.shape[1] - 1, WINDOW):
        part = lanes[:, at : at + WINDOW + 1]
        logits, state = network(part[:, :-1], state)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten())
        losses.append(loss.item() * (part.shape[1] - 1))
        state = (state[0].detach(), state[1].detach())
        if optimizer:
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
    return float(sum(losses) / (lanes.shape[1] - 1) / math.log(2))


def to_model(network: Network, metadata: dict[str, str]) -> Model:
    """Return the trained network as a model; PyTorch's two biases become their sum."""
    weights: dict[str, NDArray[np.float32]] = {
        name: array.detach().numpy() for name, array in network.named_parameters()
    }
    layers: list[Layer] = [
        Embedding(1, len(ALPHABET), DIMENSION),
        LSTM(DIMENSION, HIDDEN),
        Dense(HIDDEN, len(ALPHABET), "softmax"),
    ]
    arrays = [
        {"weight": weights["embedding.weight"]},
        {
            "weight_ih": weights["lstm.weight_ih_l0"],
            "weight_hh": weights["lstm.weight_hh_l0"],
            "bias": weights["lstm.bias_ih_l0"] + weights["lstm.bias_hh_l0"],
        },
        {"weight": weights["head.weight"], "bias": weights["head.bias"]},
    ]
    # The outputs are named by their characters, so the model file contains its alphabet.
    return Model(layers, arrays, inputs=["character"], outputs=list(ALPHABET), metadata=metadata)


def main() -> None:
    """Train, score the held-back sentences, and write the model."""
    arguments = argparse.ArgumentParser(description="Train the model of gates_text.py.")
    arguments.add_argument("--out", default="text.safetensors", help="the model file to write")
    arguments.add_argument("--root", default=Path(__file__).parent.parent, type=Path)
    arguments.add_argument("--sweeps", type=int, default=80, help="sweeps over the text")
    arguments.add_argument("--sentences", type=int, help="use only this many, for a trial run")
    arguments.add_argument("--seed", type=int, default=0, help="equal seeds give equal models")
    given = arguments.parse_args()

    torch.set_num_threads(1)  # a second thread slows down so small a network
    torch.manual_seed(given.seed)
    rng = np.random.default_rng(given.seed)
    text = sentences(given.root)[: given.sentences]
    held_back = text[::HELD_BACK]
    training = [sentence for n, sentence in enumerate(text) if n % HELD_BACK]
    print(
        f"{len(text)} sentences, {sum(map(len, text))} characters; "
        f"{len(held_back)} sentences held back"
    )

    network = Network()
    optimizer = torch.optim.AdamW(network.parameters(), lr=8e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, given.sweeps)
    for number in range(1, given.sweeps + 1):
        order = [training[n] for n in rng.permutation(len(training))]
        bits = sweep(network, order, BATCH, optimizer)
        schedule.step()
        if number % 5 == 0 or number == given.sweeps:
            with torch.no_grad():
                score = sweep(network, held_back, 1, None)
            print(f"sweep {number}: {bits:.3f} bits a character, {score:.3f} held back")

    model = to_model(
        network,
        {
            "made_by": "examples/gates_text_train.py",
            "text": f"{len(training)} sentences of this project's documentation and docstrings",
            "bits_per_character_held_back": f"{score:.3f}",
            "held_back": "\n".join(held_back),
        },
    )
    model.save(given.out)
    print(f"wrote {given.out}")


if __name__ == "__main__":
    main()
