"""These tests need a GPU or numba's simulator, each in a process of its own.

Whatever is set, `make test` runs them in the simulator (tests/unit/test_cuda.py), `make test-cuda`
on a GPU; in any other run they are left out.
"""

import os

from ..contract.simulator import hurry

if not {"NUMBA_ENABLE_CUDASIM", "STREAMLSTM_TEST_CUDA"} & set(os.environ):
    collect_ignore_glob = ["test_*.py"]
if "NUMBA_ENABLE_CUDASIM" in os.environ:
    hurry()
