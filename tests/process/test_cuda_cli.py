"""`streamlstm serve --backend cuda`: simulated, on software GPUs, and where there is no GPU."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from streamlstm import Engine
from tests.softgpu.__main__ import environment

from .conftest import WorkerProcess


@pytest.mark.timeout(300)  # kernels are compiled and translated
@pytest.mark.parametrize("device", ["simulated", "0", "1"])
def test_a_worker_serves_from_a_device_and_keeps_its_streams(
    device: str,
    model_file: Path,
    engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if device == "simulated":
        device, settings = "0", {"NUMBA_ENABLE_CUDASIM": "1"}
    elif importlib.util.find_spec("numba_cuda") is None:
        pytest.skip("needs numba-cuda: make test, on Linux")
    else:
        settings = environment() | {"SOFTGPU_DEVICES": "2"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    options = ("--backend", "cuda", "--device", device, "--store", f"lmdb:{tmp_path / 'store'}")
    X = np.random.default_rng(0).standard_normal((8, 2)).astype(np.float32)
    for part, preload in ((range(4), ()), (range(4, 8), ("--preload",))):
        worker = WorkerProcess(model_file, *options, "--capacity", "16", *preload)
        try:
            with worker.client() as client:
                assert client.info()["backend"] == "cuda"
                for n in part:
                    expected = engine.step("a", X[n], seq=n + 1)
                    assert np.allclose(client.step("a", X[n], seq=n + 1), expected, atol=5e-6)
        finally:
            assert worker.stop() == 0, worker.said
        assert "dealloc" not in "".join(worker.said)  # of numba, which tells everything at INFO


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--backend", "cuda"], "numba finds no NVIDIA GPU"),
        (["--backend", "cuda", "--loop", "native"], "not with cuda; use loop auto or python"),
        (["--device", "1"], "--device is for --backend cuda"),
    ],
)
def test_invalid_combinations_are_one_sentence(
    model_file: Path, options: list[str], said: str
) -> None:
    from numba import cuda

    if cuda.is_available():
        pytest.skip("needs a machine without a GPU: CUDA_VISIBLE_DEVICES= make test")
    ran = subprocess.run(
        [sys.executable, "-m", "streamlstm", "serve", str(model_file), *options],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode != 0
    assert said in " ".join(ran.stderr.replace("\u2502", " ").split())
    assert "Traceback" not in ran.stderr
