"""Skip the tests here without a GPU or numba's simulator; each needs a process of its own.

Whatever is set, `make test` runs them on software GPUs, `make test-all` in the simulator as well
(tests/unit/test_cuda.py), and `make test-cuda` on a GPU; in any other run they are left out.
"""

import os

from ..contract.simulator import hurry

if not {"NUMBA_ENABLE_CUDASIM", "STREAMLSTM_TEST_CUDA"} & set(os.environ):
    collect_ignore_glob = ["test_*.py"]
if "NUMBA_ENABLE_CUDASIM" in os.environ:
    hurry()
