"""Step a network through whole series from a zero state, as serving does.

Training happens on windows, but a served stream is stepped for ever. So every sweep begins with a
replay: it gives the state in which each window will begin, a sweep old at most (the stored states
of Kapturowski et al., 2019), and validation errors are those of a stream that was never reset.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamlstm.learn.bptt import State, Tape
from streamlstm.learn.dataset import Dataset, Series
from streamlstm.learn.network import Network

Array = NDArray[Any]

_CHUNK = 256  # steps a pass: enough to spread Python's part, few enough to stay in the cache
_ABREAST = 64  # streams a pass


class Replay:
    """Replays a data set, series of like length abreast.

    Parameters
    ----------
    network : Network
        What is stepped.
    data : Dataset
        What it is stepped through.
    """

    def __init__(self, network: Network, data: Dataset) -> None:
        self._data = data
        ordered = sorted(data.series, key=len)
        self._groups = [ordered[k : k + _ABREAST] for k in range(0, len(ordered), _ABREAST)]
        widths = {len(group) for group in self._groups}
        self._tapes = {width: Tape(network, _CHUNK, width) for width in widths}

    def run(self, starts: NDArray[np.intp]) -> tuple[Array, dict[int, State]]:
        """Step through every series up to the end of its validation stretch.

        Parameters
        ----------
        starts : int[W]
            Rows before which the state is wanted.

        Returns
        -------
        float32[N, O]
            Scaled outputs; 0 for rows after the validation stretch.
        dict of int to list of (h, c)
            For each row of ``starts``, float32[H] of each layer.
        """
        outputs = np.zeros_like(self._data.D)
        states: dict[int, State] = {}
        starts = np.unique(starts)
        for group in self._groups:
            for at, tape, Y in self._passes(group):
                for b, s in enumerate(group):
                    first, last = s.begin + at, s.begin + min(at + _CHUNK, s.validation_end)
                    if first >= last:
                        continue
                    outputs[first:last] = Y[: last - first, b]
                    for row in starts[slice(*np.searchsorted(starts, [first, last]))]:
                        states[int(row)] = tape.state_before(int(row) - first, b)
        return outputs, states

    def _passes(self, group: list[Series]) -> Iterator[tuple[int, Tape, Array]]:
        """Step a group through chunk after chunk; yield its first step, the tape, the outputs."""
        tape = self._tapes[len(group)]
        state: State | None = None
        for at in range(0, max(s.validation_end for s in group), _CHUNK):
            X = np.zeros((_CHUNK, len(group), self._data.X.shape[1]), np.float32)
            for b, s in enumerate(group):
                rows = self._data.X[s.begin + at : s.begin + max(at, min(at + _CHUNK, len(s)))]
                X[: len(rows), b] = rows
            Y = tape.forward(X, state)
            yield at, tape, Y
            state = tape.last_state()
