"""Make a backend by name."""

import re

from ..errors import ModelError, shown
from ..network.model import Model
from .backend import Backend
from .cpu import CpuBackend
from .cuda.refusals import refused
from .precision import check_precision_name, round_weights
from .reference import ReferenceBackend

NAMES = ("cpu", "cuda", "reference")


def check_backend(name: str, weights: str) -> None:
    """Raise ModelError if there is no backend of that name, or no such precision of weights."""
    check_precision_name(weights)
    if not isinstance(name, str) or (name not in ("auto", *NAMES) and device_of(name) is None):
        raise ModelError(
            f"backend: expected auto, {', '.join(NAMES[:-1])} or {NAMES[-1]}, or cuda:N for one "
            f"of several devices, got {shown(name)}."
        )


def device_of(name: str) -> int | None:
    """Return the number of the CUDA device in the name of a backend, None for other backends."""
    found = re.fullmatch(r"cuda(?::([0-9]{1,9}))?", name)
    return None if found is None else int(found[1] or 0)


def make_backend(name: str, model: Model, threads: int = 1, weights: str = "float32") -> Backend:
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
        what = refused(model)
        if what:
            raise ModelError(
                f"backend: expected cpu for a model with {what}, which no kernel for CUDA runs, "
                f"got {name}."
            )
        from .cuda.backend import CudaBackend  # imports numba.cuda, which is slow

        return CudaBackend(model, device)
    if name == "reference":
        return ReferenceBackend(model, weights=weights)
    return CpuBackend(model, threads, weights)
