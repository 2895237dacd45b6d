"""What a tensor in ``forward`` holds: which value of which layer each of its numbers is.

A *signal* is a series of vectors that every stream has, the input or the outputs of a layer:
float[S, T, N]. Each of its numbers has a *label*, an integer of its own. An operation that only
moves numbers (indexing, reshaping, stacking) is followed by moving their labels; a layer is
followed by reading off the labels which signal it is given, and whether it is given step after
step. So no number of the network decides what it is. Nothing here needs PyTorch.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import ConvertError
from ...network.layers import Flatten, Layer
from ..common.weights import Float64Array, Weights
from .forks import resolve_fork, rows_beside
from .layers import TorchLayer
from .signal import CONSTANT as CONSTANT
from .signal import BranchesError, Located, WindowNeededError
from .signal import Labels as Labels
from .signal import Signal as Signal
from .signal import StreamsMixedError as StreamsMixedError
from .transposed import transposed
from .whole_window import rows_anew, uneven

_MAX_WIDTH = 8192  # of a signal that arithmetic makes
_MAX_FLAT = 2**18  # and of a window, as one row


class Signals:
    """The signals of one call of a module, for S streams of T steps; position p is s * T + t.

    Parameters
    ----------
    streams, steps : int
        S and T.
    width : int
        F, features of an observation.
    windowed : bool
        Whether the T steps are a window, of which a layer may look at all.

    Attributes
    ----------
    exchanges : bool
        Whether a layer may run over the features of a window as if they were its rows.
    mixes : bool
        Whether one may take numbers of several rows together, each row of them in its own way.
    """

    exchanges = mixes = True

    def __init__(self, streams: int, steps: int, width: int, windowed: bool = False) -> None:
        self.streams, self.steps, self.windowed = streams, steps, windowed
        self._all: list[Signal] = []
        self._known: dict[Hashable, Signal] = {}
        self._next = 0
        self.input = self.add(("input",), width)

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, n: int) -> Signal:
        return self._all[n]

    def add(self, key: Hashable, width: int, source: Signal | None = None, **more: Any) -> Signal:
        """Return the signal under a key, made on the first call; attributes as of Signal."""
        key = (id(source), key)
        if key not in self._known:
            if "rows" not in more:
                before = [source, *(signal for signal, _ in more.get("terms", ()))]
                more["rows"] = next((s.rows for s in before if s is not None), self.steps)
            if width > (_MAX_FLAT if self.windowed else _MAX_WIDTH):
                raise ConvertError("forward treats every step differently, or makes it very wide")
            self._known[key] = Signal(width, self._next, source, **more)
            self._all.append(self._known[key])
            self._next += width * self.streams * more["rows"]
        return self._known[key]

    def labels(self, signal: Signal, positions: Labels) -> Labels:
        """Return the labels of a signal's vectors at some positions, int64[..., N]."""
        return signal.first + positions[..., None] * signal.width + np.arange(signal.width)

    def all_labels(self, signal: Signal) -> Labels:
        """Return the labels of a signal, int64[S, T, N]."""
        positions = np.arange(self.streams * signal.rows).reshape(self.streams, signal.rows)
        return self.labels(signal, positions)

    def locate(self, labels: Labels) -> Located:
        """Take labels apart."""
        firsts = np.array([signal.first for signal in self._all])
        widths = np.array([signal.width for signal in self._all])
        found = np.searchsorted(firsts, labels, side="right") - 1
        position, value = np.divmod(labels - firsts[found], widths[found])
        return Located(np.where(labels < 0, -1, found), position, value)

    def vectors(self, labels: Labels, what: str, mixed: bool = True) -> tuple[Signal, Labels]:
        """Return the signal whose vectors lie along the last axis, and their positions.

        Of a window a vector may be chosen of all numbers in a way of its own; if ``mixed``, of
        several rows at once, too.

        Raises
        ------
        ConvertError
            If the numbers along it are of several steps or streams, or are constants.
        """
        mixed = mixed and self.mixes
        whole = transposed(self, labels) if mixed or self.exchanges else labels
        rows = whole.reshape(-1, labels.shape[-1])
        found, joined = rows_beside(self, rows)
        if not joined and self._is_apart(found, what):
            found = self.flattened(found)
        pairs = list(zip(found.signal[0], found.value[0], strict=True))
        if (found.signal != found.signal[0]).any() or (found.value != found.value[0]).any():
            if not self.windowed:
                raise ConvertError(uneven(self, found, what))
            signal, positions = rows_anew(self, rows, what, mixed=mixed)
            return signal, positions.reshape(labels.shape[:-1])
        signal = self.gather([(self._all[n], value) for n, value in pairs])
        return signal, found.position[:, 0].reshape(labels.shape[:-1])

    def _is_apart(self, found: Located, what: str) -> bool:
        """Return whether the numbers of a vector are of several steps, as those of a window."""
        if (found.signal < 0).any():
            raise ConvertError(
                f"{what} is given numbers that do not come from the input, such as padding, or the "
                "first state of a recurrent layer that is written out by hand: nn.LSTM, nn.GRU and "
                "nn.RNN can be brought"
            )
        stream, step = self.steps_of(found)
        if (stream != stream[:, :1]).any():
            raise StreamsMixedError(f"{what} takes the values of several streams at once")
        apart = (found.position != found.position[:, :1]).any(axis=1)
        if apart.any() and not self.windowed:
            steps = len(np.unique(step[int(np.argmax(apart))]))
            raise WindowNeededError(f"{what} takes the values of {steps} steps at once, a window")
        return bool(apart.any())

    def steps_of(self, found: Located) -> tuple[Labels, Labels]:
        """Return stream and step of labels taken apart."""
        stream, step = np.divmod(found.position, self.rows_of(found))
        return stream, step

    def rows_of(self, found: Located) -> Labels:
        """Return how many rows the signal has of each label taken apart."""
        return np.array([signal.rows for signal in self._all])[found.signal]

    def flattened(self, found: Located) -> Located:
        """Return labels taken apart as those of whole windows, each one row."""
        signal, position, value = (part.copy() for part in found)
        for n in np.unique(found.signal):
            old = self._all[n]
            if old.rows > 1:
                flat = self.over_rows(old, Flatten(old.width, old.rows), "flatten")
                here = found.signal == n
                stream, step = np.divmod(found.position[here], old.rows)
                signal[here] = self._all.index(flat)
                position[here], value[here] = stream, step * old.width + found.value[here]
        return Located(signal, position, value)

    def over_rows(
        self, source: Signal, layer: Layer, name: str, arrays: dict[str, Float64Array] | None = None
    ) -> Signal:
        """Return a layer over the rows of a window.

        Raises
        ------
        ConvertError
            If there are too few rows.
        """
        if layer.input_size != source.width:
            raise ConvertError(
                f"{name} takes {layer.input_size} values, but the layer before it returns "
                f"{source.width}"
            )
        rows = layer.rows_of(source.rows)
        if rows < 1:
            raise ConvertError(f"{name} takes more than {source.rows} steps")
        made = TorchLayer(name, "rows", Weights(name, arrays or {}), {"layer": layer})
        key = (repr(layer), *(array.tobytes() for array in (arrays or {}).values()))
        source = self.resolve(source)
        return self.add(key, layer.output_size, source, layer=made, rows=rows)

    def gather(self, pairs: Sequence[tuple[Signal, int]]) -> Signal:
        """Return the signal whose vectors hold these values of other signals."""
        first = pairs[0][0]
        columns = [int(value) for _, value in pairs]
        if all(signal is first for signal, _ in pairs):
            if columns == list(range(first.width)):
                return first
            return self._other_flat(first, columns) or self.linear(
                first, _selection(columns, first.width), None, "a selection"
            )
        together = self._same_function(pairs)
        if together is not None:
            return together
        terms: dict[Signal, Float64Array] = {}
        for row, (signal, value) in enumerate(pairs):
            terms.setdefault(signal, np.zeros((len(pairs), signal.width)))[row, value] = 1
        return self.sum(terms, np.zeros(len(pairs)))

    def _other_flat(self, flat: Signal, columns: list[int]) -> Signal | None:
        """Return a window by feature, or the ends of both directions; None for other values."""
        layer = None if flat.layer is None else flat.layer.options.get("layer")
        source = flat.source
        if not isinstance(layer, Flatten) or source is None:
            return None
        T, N = source.rows, source.width
        if columns == np.arange(T * N).reshape(T, N).T.ravel().tolist():
            return self.over_rows(source, Flatten(N, T, by_feature=True), "flatten")
        both = source.layer is not None and source.layer.options.get("both")
        if both and columns == [*range((T - 1) * N, (T - 1) * N + N // 2), *range(N // 2, N)]:
            assert source.layer is not None
            ends = replace(source.layer, options={**source.layer.options, "both": "ends"})
            return self.add(("ends", id(source)), N, source.source, layer=ends, rows=1)
        return None

    def _same_function(self, pairs: Sequence[tuple[Signal, int]]) -> Signal | None:
        """Return f(a, b) for f(a) beside f(b), where f is a function of single values."""
        layers = [signal.layer for signal, _ in pairs]
        if any(layer is None or layer.options.get("single") is None for layer in layers):
            return None
        kinds = {layer.options["single"] for layer in layers if layer is not None}
        if len(kinds) != 1 or any(signal.source is None for signal, _ in pairs):
            return None
        inner = self.resolve(self.gather([(s.source, v) for s, v in pairs if s.source is not None]))
        layer = layers[0]
        return self.add(("function", *kinds), inner.width, inner, layer=layer)

    def linear(
        self, source: Signal, matrix: Float64Array, bias: Float64Array | None, name: str
    ) -> Signal:
        """Return ``matrix @ source + bias``."""
        key = ("linear", matrix.tobytes(), None if bias is None else bias.tobytes())
        arrays = {"weight": matrix} | ({} if bias is None else {"bias": bias})
        shift = np.zeros(len(matrix)) if bias is None else bias
        layer = TorchLayer(name, "linear", Weights(name, arrays))
        more: dict[str, Any] = {"layer": layer, "terms": [(source, matrix)], "bias": shift}
        return self.add(key, len(matrix), source, **more)

    def sum(self, terms: dict[Signal, Float64Array], bias: Float64Array) -> Signal:
        """Return ``sum(matrix @ signal) + bias``."""
        rows = max(signal.rows for signal in terms)
        if {signal.rows for signal in terms} - {1, rows}:
            joined = ", ".join(signal.name for signal in terms)
            raise ConvertError(f"forward joins branches with other numbers of steps: {joined}")
        if len(terms) == 1:
            ((source, matrix),) = terms.items()
            if np.array_equal(matrix, np.eye(source.width)) and not bias.any():
                return source
            return self.linear(source, matrix, bias if bias.any() else None, "a sum")
        parts = [(id(signal), matrix.tobytes()) for signal, matrix in terms.items()]
        key = ("sum", *parts, bias.tobytes())
        return self.add(key, len(bias), terms=list(terms.items()), bias=bias, rows=rows)

    def resolve(self, signal: Signal) -> Signal:
        """Return a signal as one that a chain of layers computes.

        Raises
        ------
        ConvertError
            If it joins signals that no single layer computes.
        """
        if not signal.mixed:
            return signal
        try:
            terms, bias = self.reduce({signal: np.eye(signal.width)}, beside_input=False)
        except BranchesError:
            return resolve_fork(self, signal)
        return self.sum(terms, bias)

    def reduce(
        self, terms: dict[Signal, Float64Array], *, beside_input: bool
    ) -> tuple[dict[Signal, Float64Array], Float64Array]:
        """Return an affine map of signals as one of a single signal; perhaps beside the input.

        Linear layers are expanded, the last ones first, until only one signal is left.
        """
        terms, bias = dict(terms), np.zeros(len(next(iter(terms.values()))))
        while True:
            others = [s for s in terms if not (beside_input and s is self.input)]
            if len(others) <= 1 and not any(signal.mixed for signal in others):
                return terms, bias
            affine = [signal for signal in terms if signal.terms]
            if not affine:
                return self._with_category(terms), bias
            last = max(affine, key=lambda signal: signal.depth)
            matrix = terms.pop(last)
            bias = bias + (0 if last.bias is None else matrix @ last.bias)
            for signal, inner in last.terms:
                terms[signal] = terms.get(signal, 0) + matrix @ inner

    def _with_category(self, terms: dict[Signal, Float64Array]) -> dict[Signal, Float64Array]:
        """Return terms of an embedding beside numeric inputs, which its layer passes on."""
        found = [s for s in terms if s.layer is not None and s.layer.kind == "embedding"]
        if len(found) != 1 or {*terms} - {*found} != {self.input}:
            joined = ", ".join(signal.name for signal in terms)
            raise BranchesError(f"forward joins branches that no single layer computes: {joined}")
        numeric = terms[self.input]
        if numeric[:, 0].any():
            raise ConvertError("forward uses the category as a number beside its embedding")
        matrix = terms[found[0]].copy()
        matrix[:, matrix.shape[1] - (numeric.shape[1] - 1) :] += numeric[:, 1:]
        return {found[0]: matrix}


def _selection(columns: list[int], width: int) -> Float64Array:
    matrix = np.zeros((len(columns), width))
    matrix[range(len(columns)), columns] = 1
    return matrix


def apply_single(
    signals: Signals, labels: Labels, key: Hashable, make: Callable[[], Iterable[TorchLayer]]
) -> Labels:
    """Return the labels of a function of single values, applied to numbers with these labels.

    Parameters
    ----------
    signals : Signals
    labels : int64[...]
    key : hashable
        The same for the same function.
    make : callable
        Returns its layer, or several.
    """
    found = signals.locate(labels)
    moved = labels.copy()
    for n in np.unique(found.signal[found.signal >= 0]):
        old = signals[n]
        new = signals.resolve(old)
        for place, layer in enumerate(make()):
            layer.options["single"] = (key, place)
            new = signals.add(("function", (key, place)), old.width, new, layer=layer)
        here = found.signal == n
        moved[here] += new.first - old.first
    return moved
