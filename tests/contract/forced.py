"""Run the contract suite with vectors of another width than this machine's.

    python -m tests.contract.forced LANES [few] [PYTEST OPTION ...]

In the root of the repository. LLVM splits or fills vectors that are not the machine's own, so that
the kernels of every machine can be tested on any. Some models stand for all, or only a ``few``.
"""

import gc
import sys

import pytest
from numba import config
from numba.core import codegen
from numba.core.registry import cpu_target

from . import models

FEATURES = {4: "+sse2", 8: "+avx2,+fma", 16: "+avx512f"}
CHOSEN = (
    "smallest",
    "odd",
    "usual",
    "stack",
    "wide head",
    "skip with factors",
    "coupled",
    "hard sigmoid",
    "other activations",
    "everything",
    "everything but coupled",
    "gru",
    "odd gru",
    "gru, reset before",
    "rnn",
    "odd rnn",
    "softmax",
    "layer norm first",
    "embedding",
    "window, stack",
    "window, options",
)
FEW = ("odd", "odd gru")
TESTS = (
    "tests/contract/test_contract.py",
    "tests/unit/test_precision.py::test_engine_steps_the_rounded_model",
)


def force(lanes: int) -> None:
    """Make the kernels, not yet imported, believe that vectors are ``lanes`` wide."""
    assert cpu_target.target_context  # LLVM knows by now what it compiles for
    has = set(codegen.get_host_cpu_features().split(","))
    own = max((n for n, named in FEATURES.items() if has >= set(named.split(","))), default=4)
    if lanes != own:  # else the kernels that the machine has compiled for itself serve
        config.CPU_FEATURES = FEATURES[lanes]
    from streamlstm.kernels import simd

    config.CPU_FEATURES = None
    assert lanes == simd.LANES
    gc.disable()  # as in tests/warm_up.py: most of what follows is compiling


if __name__ == "__main__":
    force(int(sys.argv[1]))
    given = sys.argv[2:]
    few = given[:1] == ["few"] and given.pop(0)
    models.MODELS = {name: models.MODELS[name] for name in (FEW if few else CHOSEN)}
    models.BACKENDS = ("cpu",)
    tests = TESTS[:1] if few else TESTS
    sys.exit(pytest.main([*tests, "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *given]))
