"""PyTorch on a GPU: LSTMCell, and cuDNN's LSTM, with states gathered and scattered by slot."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from streamlstm import Model

Variant = tuple[Callable[[], None], Callable[[], None]]  # a tick, and the wait for its end


def variants(model: Model, B: int, capacity: int) -> dict[str, Variant]:
    """Return variants of stepping B of ``capacity`` streams through an LSTM and a head, by name.

    Empty, with a line on standard error, if PyTorch is missing or finds no GPU.
    """
    try:
        import torch
    except ImportError:
        print("PyTorch is left out: it is not installed", file=sys.stderr)
        return {}
    if not torch.cuda.is_available():
        print("PyTorch is left out: it sees no GPU", file=sys.stderr)
        return {}
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    wait = torch.cuda.synchronize
    found: dict[str, Variant] = {}
    for name, make in (("LSTMCell", cell), ("cuDNN LSTM, T = 1", cudnn)):
        step = make(torch, model, "cuda")
        tick = ticking(torch, model, step, B, capacity, "cuda")
        found[f"PyTorch {name}"] = (tick, wait)
        graph = captured(torch, tick)
        if graph is not None:
            found[f"PyTorch {name}, in a CUDA graph"] = (graph, wait)
    return found


def cell(torch: Any, model: Model, device: str) -> Callable[..., Any]:
    """Return a step of LSTMCell: (x, h, c) to (h, c)."""
    layer, weights = model.layers[0], model.weights[0]
    made = torch.nn.LSTMCell(layer.input_size, layer.output_size).to(device)
    _fill(torch, made, weights, "")
    return lambda x, h, c: made(x, (h, c))


def cudnn(torch: Any, model: Model, device: str) -> Callable[..., Any]:
    """Return a step of nn.LSTM over a sequence of one observation."""
    layer, weights = model.layers[0], model.weights[0]
    made = torch.nn.LSTM(layer.input_size, layer.output_size).to(device)
    _fill(torch, made, weights, "_l0")

    def step(x: Any, h: Any, c: Any) -> Any:
        _, (h, c) = made(x[None], (h[None], c[None]))
        return h[0], c[0]

    return step


def _fill(torch: Any, made: Any, weights: Any, suffix: str) -> None:
    with torch.no_grad():
        for theirs, values in (
            ("weight_ih", weights["weight_ih"]),
            ("weight_hh", weights["weight_hh"]),
            ("bias_ih", weights["bias"]),
            ("bias_hh", np.zeros_like(weights["bias"])),
        ):
            getattr(made, theirs + suffix).copy_(torch.tensor(values))


def ticking(
    torch: Any, model: Model, step: Callable[..., Any], B: int, capacity: int, device: str
) -> Callable[[], None]:
    """Return a tick: gather the states of B random slots, step, scatter, and apply the head.

    Its arrays are attributes: ``slots``, ``x``, ``states`` (h and c), and ``y`` after a tick.
    """
    units, rng = model.layers[0].output_size, np.random.default_rng(2)
    head = {name: torch.tensor(a, device=device) for name, a in model.weights[1].items()}
    slots = torch.tensor(rng.permutation(capacity)[:B], device=device)
    x = torch.tensor(rng.standard_normal((B, model.input_size)), dtype=torch.float32, device=device)
    states = [torch.zeros(capacity, units, device=device) for _ in range(2)]
    y = torch.zeros(B, model.output_size, device=device)

    def tick() -> None:
        with torch.no_grad():
            h, c = step(x, states[0].index_select(0, slots), states[1].index_select(0, slots))
            states[0].index_copy_(0, slots, h)
            states[1].index_copy_(0, slots, c)
            torch.addmm(head["bias"], h, head["weight"].T, out=y)

    tick.slots, tick.x, tick.states, tick.y = slots, x, states, y  # type: ignore[attr-defined] # a function's
    return tick


def captured(torch: Any, tick: Callable[[], None]) -> Callable[[], None] | None:
    """Return a replay of a tick as a CUDA graph; None, with a line, if it cannot be captured."""
    try:
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for _ in range(3):
                tick()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            tick()
    except RuntimeError as error:
        print(f"a CUDA graph is left out: {error}", file=sys.stderr)
        return None
    replay: Callable[[], None] = graph.replay
    return replay
