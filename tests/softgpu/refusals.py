"""Provoke errors of CUDA on a software GPU; AssertionError if one is not detected."""

from typing import Any

import numpy as np
import pytest
from numba import cuda


def _body(x: Any) -> None:
    x[cuda.grid(1)] *= 2


_double = cuda.jit(_body, lto=False)


def _refused(call: Any, error: str) -> None:
    with pytest.raises(Exception, match=error):
        call()


def too_much_shared_memory() -> None:
    data = cuda.to_device(np.ones(32, np.float32))
    _double[1, 32, 0, 48 * 1024](data)
    _refused(lambda: _double[1, 32, 0, 48 * 1024 + 4](data), "INVALID_VALUE")


def a_copy_beyond_the_end() -> None:
    data = cuda.device_array(4, np.float32)
    longer = np.zeros(100_000, np.float32)
    _refused(
        lambda: cuda.cudadrv.driver.host_to_device(data, longer, longer.nbytes), "INVALID_VALUE"
    )


def a_buffer_read_too_early() -> None:
    stream, data = cuda.stream(), cuda.to_device(np.ones(32, np.float32))
    pinned = cuda.pinned_array(32, np.float32)
    pinned[:] = 7
    _double[1, 32, stream](data)
    data.copy_to_host(pinned, stream=stream)
    assert np.all(pinned == 7)
    stream.synchronize()
    assert np.all(pinned == 2)


def a_buffer_filled_too_early() -> None:
    stream, data = cuda.stream(), cuda.device_array(32, np.float32)
    pinned = cuda.pinned_array(32, np.float32)
    pinned[:] = 1
    data.copy_to_device(pinned, stream=stream)
    pinned[:] = 5  # the copy has not been made yet
    stream.synchronize()
    assert np.all(data.copy_to_host() == 5)


def a_kernel_beyond_the_end() -> None:
    data = cuda.to_device(np.ones(32, np.float32))
    _refused(lambda: (_double[1, 1024](data), cuda.synchronize()), "ILLEGAL_ADDRESS")
    _refused(data.copy_to_host, "ILLEGAL_ADDRESS")  # nothing works after it


def waiting_while_captured() -> None:
    from streamlstm.backends.cuda.graph import Graph

    stream, data = cuda.stream(), cuda.to_device(np.ones(32, np.float32))
    _double[1, 32, stream](data)
    _refused(lambda: Graph(stream, stream.synchronize), "CAPTURE")
    Graph(stream, lambda: _double[1, 32, stream](data)).launch()
    stream.synchronize()
    assert np.all(data.copy_to_host() == 4)


def the_default_stream_while_captured() -> None:
    from streamlstm.backends.cuda.graph import Graph

    data = cuda.to_device(np.ones(32, np.float32))
    _double[1, 32](data)
    _refused(lambda: Graph(cuda.stream(), lambda: _double[1, 32](data)), "implicit dependency")
