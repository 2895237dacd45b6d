"""Modules that fork and join, compared with PyTorch window by window."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import streamlstm as sl

torch = pytest.importorskip("torch", reason="needs PyTorch: make test-all")
nn = torch.nn
F = torch.nn.functional
ROWS = 7

from .test_torch_windows import Network, rnn  # noqa: E402 - behind the skip


def residual_convolutions(n: Any, x: Any) -> Any:
    y = torch.relu(n.a(x.transpose(1, 2))[:, :, :-4])
    y = torch.relu(y + n.b(y)[:, :, :-4])
    y = y + torch.tanh(n.b(y)[:, :, :-4]) * torch.sigmoid(n.c(y)[:, :, :-4])
    return n.head(y[:, :, -1])


def pooled(n: Any, x: Any) -> Any:
    y, h = n.rnn(x)
    return n.head(torch.cat([y.mean(1), y.max(1)[0], h[-1]], 1))


def additive(n: Any, x: Any) -> Any:
    y, _ = n.rnn(x)
    shares = torch.softmax(torch.tanh(n.score(y)), dim=1)
    return n.head((shares * y).sum(dim=1))


def additive_by_bmm(n: Any, x: Any) -> Any:
    y, _ = n.rnn(x)
    shares = F.softmax(n.score(y).squeeze(-1), dim=1)
    return n.head(torch.bmm(shares.unsqueeze(1), y).squeeze(1))


def of_the_last_state(n: Any, x: Any) -> Any:
    y, (h, _) = n.rnn(x)
    repeated = h[-1].unsqueeze(1).repeat(1, y.size(1), 1)
    energy = torch.tanh(n.score(torch.cat((repeated, y), dim=2)))
    shares = F.softmax(n.v(energy).squeeze(2), dim=1)
    return n.head(torch.cat([(shares.unsqueeze(2) * y).sum(1), h[-1]], 1))


def dot_product(n: Any, x: Any) -> Any:
    y, (h, _) = n.rnn(x)
    shares = F.softmax(torch.bmm(y, h[-1].unsqueeze(2)).squeeze(2), 1)
    return n.head(torch.bmm(y.transpose(1, 2), shares.unsqueeze(2)).squeeze(2))


def self_attention(n: Any, x: Any) -> Any:
    y, _ = n.rnn(x)
    shares = torch.softmax(n.q(y) @ n.k(y).transpose(-2, -1) / 6**0.5, dim=-1)
    return n.head((shares @ n.v(y)).mean(1))


def heads_by_hand(n: Any, x: Any) -> Any:
    y, _ = n.rnn(x)
    q, k, v = (m(y).view(len(x), -1, 2, 3).transpose(1, 2) for m in (n.q, n.k, n.v))
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)
    return n.head(y.reshape(len(x), -1, 6)[:, -1])


def encoder(n: Any, x: Any) -> Any:
    return n.head(n.encoder(n.first(x)).mean(1))


def attention_to_the_last(n: Any, x: Any) -> Any:
    y = n.first(x)
    return n.head(n.attention(y[:, -1:], y, y)[0].squeeze(1))


def layers(text: str) -> dict[str, Any]:
    """Return named layers of one of the networks below."""
    made = {
        "rnn": lambda: rnn("GRU" if "gru" in text else "LSTM", 3, 6),
        "a": lambda: nn.Conv1d(3, 6, 5, padding=4),
        "b": lambda: nn.Conv1d(6, 6, 5, padding=4),
        "c": lambda: nn.Conv1d(6, 6, 3, padding=4, dilation=2),
        "first": lambda: nn.Linear(3, 6),
        "encoder": lambda: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(6, 2, 9, batch_first=True), 2, enable_nested_tensor=False
        ),
        "attention": lambda: nn.MultiheadAttention(6, 2, batch_first=True),
        "score1": lambda: nn.Linear(6, 1),
        "score12": lambda: nn.Linear(12, 5),
        "v1": lambda: nn.Linear(5, 1, bias=False),
        "head6": lambda: nn.Linear(6, 2),
        "head12": lambda: nn.Linear(12, 2),
        "head18": lambda: nn.Linear(18, 2),
        **dict.fromkeys("qkv", lambda: nn.Linear(6, 6)),
    }
    words = [word for word in text.split() if word != "gru"]
    return {word.rstrip("0123456789"): made[word]() for word in words}


@pytest.mark.parametrize(
    ("forward", "parts"),
    [
        (residual_convolutions, "a b c head6"),
        (pooled, "gru rnn head18"),
        (additive, "rnn score1 head6"),
        (additive_by_bmm, "gru rnn score1 head6"),
        (of_the_last_state, "rnn score12 v1 head12"),
        (dot_product, "rnn head6"),
        (self_attention, "rnn q k v head6"),
        (heads_by_hand, "rnn q k v head6"),
        (encoder, "first encoder head6"),
        (attention_to_the_last, "first attention head6"),
    ],
)
def test_a_window_gives_what_pytorch_does(forward: Callable[..., Any], parts: str) -> None:
    torch.manual_seed(1)
    network = Network(forward, **layers(parts)).eval()
    model = sl.from_torch(network, window=ROWS)
    assert model.metadata["compared"].startswith("its forward")
    X = np.random.default_rng(1).standard_normal((20, 3)).astype(np.float32)
    windows = np.stack([X[n : n + ROWS] for n in range(len(X) - ROWS + 1)])
    with torch.no_grad():
        expected = network(torch.from_numpy(windows)).numpy()
    Y = sl.Engine(model, 1).run("a", X)[ROWS - 1 :]
    assert np.allclose(Y, expected, atol=2e-6)


def test_branches_without_a_window_are_stepped() -> None:
    def forward(n: Any, x: Any) -> Any:
        y = torch.tanh(n.first(x)) * torch.sigmoid(n.gate(x))
        return n.head(n.norm(y + n.rnn(y)[0]))

    torch.manual_seed(2)
    more = {"gate": nn.Linear(3, 6), "norm": nn.LayerNorm(6), "rnn": rnn("LSTM", 6, 6)}
    network = Network(forward, **layers("first head6"), **more).eval()
    model = sl.from_torch(network)
    assert model.window is None
    assert [layer.kind for layer in model.layers].count("parallel") == 2
    X = np.random.default_rng(2).standard_normal((30, 3)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(X)[None])[0].numpy()
    assert np.allclose(sl.Engine(model, 1).run("a", X), expected, atol=2e-6)


def test_scores_that_nothing_takes_shares_of_are_refused() -> None:
    def forward(n: Any, x: Any) -> Any:
        y, _ = n.rnn(x)
        return n.head((y @ y.transpose(1, 2)) @ y)[:, -1]

    with pytest.raises(sl.ConvertError, match=r"matmul|attention scores"):
        sl.from_torch(Network(forward, **layers("rnn head6")).eval(), window=ROWS)
