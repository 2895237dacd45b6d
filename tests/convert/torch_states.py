"""State dicts with random numbers, from names and shapes."""

from typing import Any

import numpy as np

RNG = np.random.default_rng(0)


def arrays(**shapes: tuple[int, ...]) -> dict[str, np.ndarray[Any, Any]]:
    return {name.replace("__", "."): RNG.standard_normal(shape) for name, shape in shapes.items()}


def recurrent(gates: int, F: int, H: int, prefix: str = "rnn", suffix: str = "_l0") -> Any:
    names: dict[str, tuple[int, ...]] = {"weight_ih": (gates * H, F), "weight_hh": (gates * H, H)}
    names |= {"bias_ih": (gates * H,), "bias_hh": (gates * H,)}
    return arrays(**{f"{prefix}__{key}{suffix}": shape for key, shape in names.items()})


def linear(name: str, K: int, O: int, *, bias: bool = True) -> Any:
    state = {f"{name}.weight": RNG.standard_normal((O, K))}
    return state | ({f"{name}.bias": RNG.standard_normal(O)} if bias else {})
