"""Functions of the CUDA driver that numba does not offer: graphs, and limits of shared memory.

They need NVIDIA's cuda-bindings, which the package numba-cuda depends on. With the numba.cuda that
is part of numba, or in its simulator, they are missing, and everything works without.
"""

import weakref
from collections.abc import Callable
from typing import Any

from numba import cuda

from ...kernels.cuda.sizes import SIMULATED

try:
    if SIMULATED:
        raise ImportError
    from cuda.bindings import driver
except ImportError:
    driver = None

AVAILABLE = driver is not None


def make_stream() -> Any:
    """Return a CUDA stream of the current device, on which a graph may be recorded.

    It does not synchronise with the default stream: while a stream that does is recorded, the
    driver refuses the default stream to the whole process, PyTorch for example.
    """
    if not AVAILABLE:
        return cuda.stream()
    handle = _checked(driver.cuStreamCreate(driver.CUstream_flags.CU_STREAM_NON_BLOCKING.value))
    stream = cuda.external_stream(int(handle))
    _destroy_with(stream, driver.cuStreamDestroy, handle)
    return stream


class Graph:
    """Work of a CUDA stream that is recorded once and launched with one call.

    Parameters
    ----------
    stream : numba.cuda stream
        Of :func:`make_stream`.
    work : callable
        Enqueues work on that stream, and does nothing else with the device: it must have run
        before, so that nothing is compiled or allocated now. The work is recorded with all
        addresses and sizes, and not executed.

    Raises
    ------
    RuntimeError
        If the driver refuses. The stream can still be used.
    """

    def __init__(self, stream: Any, work: Callable[[], None]) -> None:
        self._stream = int(stream.handle)
        # Relaxed: nothing here is unsafe during recording, and other threads of this process may
        # allocate meanwhile.
        mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
        _checked(driver.cuStreamBeginCapture(self._stream, mode))
        try:
            work()
        finally:
            recorded = driver.cuStreamEndCapture(self._stream)
        graph = _checked(recorded)
        try:
            self._executable = _checked(driver.cuGraphInstantiate(graph, 0))
        finally:
            driver.cuGraphDestroy(graph)
        _destroy_with(self, driver.cuGraphExecDestroy, self._executable)

    def launch(self) -> None:
        """Enqueue the recorded work."""
        _checked(driver.cuGraphLaunch(self._executable, self._stream))


def shared_limit(device: int) -> int:
    """Return the most bytes of shared memory that a block may have, 0 if that is unknown."""
    if not AVAILABLE:
        return 0
    which = driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
    return int(_checked(driver.cuDeviceGetAttribute(which, _checked(driver.cuDeviceGet(device)))))


def allow_shared(kernel: Any, device: int) -> None:
    """Allow a compiled kernel the most shared memory that the device has."""
    which = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    number = _checked(driver.cuDeviceGet(device))
    for compiled in kernel.overloads.values():
        handle = compiled._codelibrary.get_cufunc().handle
        _checked(driver.cuKernelSetAttribute(which, shared_limit(device), handle, number))


def _destroy_with(owner: Any, destroy: Any, handle: Any) -> None:
    """Destroy a handle with its owner, but not at exit of the process: the driver may be gone."""
    weakref.finalize(owner, destroy, handle).atexit = False


def _checked(answer: tuple[Any, ...]) -> Any:
    """Return the results of a call of the driver; raise RuntimeError if its error code is not 0."""
    error, *values = answer
    if error != driver.CUresult.CUDA_SUCCESS:
        raise RuntimeError(f"the CUDA driver says {error.name}")
    return values[0] if values else None
