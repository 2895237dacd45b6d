"""What can advance a block of streams: the compiled kernels, or the reference.

A backend holds a model in the form that its kernels take, and steps rows of a state table. It
knows nothing of stream ids.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..network.model import Model
from .backend import Backend
from .cpu import CpuBackend
from .plan import compile_plan
from .precision import known_precision, round_weights
from .reference import ReferenceBackend
from .warmup import compile_kernels

Float32Array = NDArray[np.float32]
NAMES = ("cpu", "cuda", "reference")


def compile_for(model: Model, weights: str = "float32", also: Sequence[str] = ()) -> None:
    """Compile now what an engine for ``model`` needs, and tell on standard error that it goes on.

    A program that will not wait in silence calls this before it makes the engine. ``also`` names
    other kernels that it needs.
    """
    from ..kernels import compile, simd

    plan = compile_plan(model, simd.LANES, weights)
    compile_kernels([*compile.needed(plan.kinds, weights), *also], tell=True)


def check_backend(name: str, weights: str) -> None:
    """Raise ModelError if there is no backend of that name, or no such precision of weights."""
    known_precision(weights)
    if not isinstance(name, str) or (name not in ("auto", *NAMES) and device_of(name) is None):
        raise ModelError(
            f"backend: expected auto, {', '.join(NAMES[:-1])} or {NAMES[-1]}, or cuda:N for one "
            f"of several devices, got {name!r}."
        )


def device_of(name: str) -> int | None:
    """Return the number of the CUDA device that a backend's name asks for, None if it does not."""
    found = re.fullmatch(r"cuda(?::([0-9]{1,9}))?", name)
    return None if found is None else int(found[1] or 0)


def make_backend(
    name: str, model: Model, threads: int | None = None, weights: str = "float32"
) -> Backend:
    """Make the backend called ``name``; "auto" takes the one for the CPU.

    Raises
    ------
    ModelError
        If there is no backend of that name or no device for it, or no such precision of weights.
    """
    check_backend(name, weights)
    model = round_weights(model, weights)
    device = device_of(name)
    if device is not None:
        from .cuda.backend import CudaBackend  # here, so that nobody else waits for numba.cuda

        return CudaBackend(model, device)
    return ReferenceBackend(model) if name == "reference" else CpuBackend(model, threads, weights)
