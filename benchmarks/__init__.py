"""Benchmarks: one question a file, run as ``python -m benchmarks.NAME``.

All libraries run on one thread unless a benchmark says otherwise; they read these variables when
they are first imported.
"""

import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
