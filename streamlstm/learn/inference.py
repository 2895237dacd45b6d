"""Runs a network over whole series from a zero state, as serving does.

Training uses windows, but a served stream has no end. So each epoch begins with a run over all
series: it gives the initial state of each window, an epoch old at most (the stored states of
Kapturowski et al., 2019), and validation errors as those of a stream that is never reset.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bptt import State, Tape
from .dataset import Dataset, Series
from .network import RecurrentNetwork

Array = NDArray[Any]

_CHUNK = 256  # steps a pass: many for little overhead of Python, few for the cache
_BATCH = 64  # series a pass


def _chunk(group: list[Series]) -> int:
    """Return the steps a pass for a group: no more than a power of two that holds the longest."""
    longest = max(s.validation_end for s in group)
    return min(_CHUNK, 1 << max(longest - 1, 0).bit_length())


class SequenceRunner:
    """Runs a network over a data set, series of similar length in one batch.

    Parameters
    ----------
    network : RecurrentNetwork
        The network to run.
    data : Dataset
        The series.
    """

    def __init__(self, network: RecurrentNetwork, data: Dataset) -> None:
        self._network, self._data = network, data
        ordered = sorted(data.series, key=lambda s: s.validation_end)
        self._groups = [ordered[k : k + _BATCH] for k in range(0, len(ordered), _BATCH)]
        sizes = {(_chunk(group), len(group)) for group in self._groups}
        self._tapes = {size: Tape(network, *size) for size in sizes}

    def run(self, starts: NDArray[np.intp]) -> tuple[Array, dict[int, State]]:
        """Run over every series up to the end of its validation period.

        Parameters
        ----------
        starts : int[W]
            Rows before which the state is returned.

        Returns
        -------
        float32[N, O]
            Scaled outputs; 0 for rows after the validation period.
        dict of int to list of tuple of float32[H]
            For each row of ``starts`` the state vectors of each recurrent layer.
        """
        outputs = np.zeros((len(self._data.Y), self._network.output_size), np.float32)
        states: dict[int, State] = {}
        starts = np.unique(starts)
        for group in self._groups:
            for start, tape, Y in self._run_chunks(group):
                for b, s in enumerate(group):
                    last = s.offset + min(start + tape.T, s.validation_end)
                    first = s.offset + start
                    if first >= last:
                        continue
                    outputs[first:last] = Y[: last - first, b]
                    for row in starts[slice(*np.searchsorted(starts, [first, last]))]:
                        states[int(row)] = tape.state_before(int(row) - first, b)
        return outputs, states

    def _run_chunks(self, group: list[Series]) -> Iterator[tuple[int, Tape, Array]]:
        """Run over a group in chunks; yield the first step of each, the tape and the outputs."""
        tape = self._tapes[_chunk(group), len(group)]
        state: State | None = None
        for start in range(0, max(s.validation_end for s in group), tape.T):
            X = np.zeros((tape.T, len(group), self._data.X.shape[1]), np.float32)
            for b, s in enumerate(group):
                rows = self._data.X[
                    s.offset + start : s.offset + max(start, min(start + tape.T, len(s)))
                ]
                X[: len(rows), b] = rows
            Y = tape.forward(X, state)
            yield start, tape, Y
            state = tape.last_state()
