"""The engine: a model, the state of its streams, and the kernels that advance them."""

import math
import struct
import sys
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..backends.backend import Backend
from ..backends.cpu import CpuBackend
from ..backends.factory import make_backend
from ..backends.plan import initial_row, prediction_place
from ..errors import BadValueError, ModelError, ShapeError, StreamLSTMError
from ..network.model import Model
from .blocks import Block, quick_block, rounds, slow_block
from .carry_over import is_unknown, place_of
from .dirty import Changes
from .explain import Explainer, Explanation
from .export import pack_state, unpack_state
from .idle import Idle
from .listing import listed
from .lock_flag import Held
from .native_view import Lent
from .owners import Owners
from .reload import Next, Reloaded, make_next
from .state_table import StateTable, StreamId, check_stream_id
from .stream import Stream
from .validation import bad_rows, bad_value, check_seq, check_time, to_float32

Float32Array = NDArray[np.float32]


# Looked up once: a step of a small network takes less time than a few attributes of modules.
_ARRAY, _EMPTY, _FLOAT32 = np.ndarray, np.empty, np.dtype(np.float32)
_HAS_GIL = getattr(sys, "_is_gil_enabled", lambda: True)()


class Engine:
    """Keeps the memory of many streams and advances it, one observation at a time.

    Every method may be called from several threads; one call at a time is carried out. A call from
    within another one (by a signal's handler or an object's finalizer that runs in between) would
    wait for itself: let those leave a note for later instead.

    Parameters
    ----------
    model : Model
        What to compute.
    capacity : int
        How many streams can live at once. Memory is used only by streams that have come.
    backend : {"auto", "cpu", "cuda", "cuda:N", "reference"}
        "cuda" keeps the states on an NVIDIA GPU, "cuda:1" on the second one, and takes the memory
        of all ``capacity`` streams at once (docs/cuda.md). "auto" is "cpu": from which size on a
        GPU wins has not been measured.
    threads : int, optional
        How many threads a large block may use; as many as there are cores if left out. Results do
        not depend on it.
    weights : {"float32", "float16", "bfloat16"}
        With 16 bits the matrices of all layers are rounded, and a single stream's step through a
        plain LSTM that is too large for near caches (from about 64 hidden units) waits for half of
        the memory: bfloat16 is the quicker, float16 the more exact.
        :func:`streamlstm.check_precision` tells what the rounding costs.

    Raises
    ------
    ModelError
        If the model is none, or backend or weights are not among those above.
    BadValueError, CapacityError
        If threads or capacity are not positive integers, or there is not that much memory.

    Examples
    --------
    >>> engine = Engine(Model.load("model.safetensors"))  # doctest: +SKIP
    >>> engine.step("pump-7", [21.3, 0.82])  # doctest: +SKIP
    array([0.79], dtype=float32)
    """

    def __init__(
        self,
        model: Model,
        capacity: int = 100_000,
        backend: str = "auto",
        threads: int | None = None,
        weights: str = "float32",
    ) -> None:
        if not isinstance(model, Model):
            raise ModelError(
                f"model: expected a Model, got {type(model).__name__}; Model.load(path) reads one."
            )
        if threads is not None and (type(threads) is not int or threads < 1):
            raise BadValueError(f"threads: expected an integer of 1 or more, got {threads!r}.")
        self._make = partial(make_backend, backend, threads=threads, weights=weights)
        self._backend: Backend = self._make(model)
        make_rows = getattr(self._backend, "make_rows", None)  # of one that keeps them elsewhere
        self._table = StateTable(capacity, initial_row(model), make_rows)
        self._steps = 0
        self._run(model)
        self._one_slot, self._one_seq = np.zeros(1, np.int64), np.zeros(1, np.uint64)
        self._head = self._table.address
        self._lent: list[Lent] = []
        self._stored, self._reloading = False, threading.Lock()
        one = self._backend.one_stream(self._table.rows)
        self._quick = one is not None and _HAS_GIL
        self._quick_steps, held = np.zeros(1, np.int64), np.zeros(1, np.int64)
        if one is not None:
            self._task, self._quick_steps, held = one.task, one.steps, one.held
            self._step_text, self._step_integer = one.step_text, one.step_integer
            self._step_slot = one.step_slot
        self._lock, self._held = threading.Lock(), Held(held)

    def _run(self, model: Model) -> None:
        """Keep what observations of a model are checked against, and what else depends on it."""
        F, O = model.input_size, model.output_size
        self._one_x, self._one_y = np.zeros((1, F), np.float32), np.zeros((1, O), np.float32)
        self._pack = struct.Struct(f"{F}f").pack
        self._categories, self._outputs = model.categories, O
        self._prediction = prediction_place(model)
        self._explainer: Explainer | None = None  # made when it is first asked for
        self._model = model

    @property
    def model(self) -> Model:
        """The model that is stepped."""
        return self._model

    @property
    def backend(self) -> str:
        """Name of the backend: "cpu", "cuda" or "reference"."""
        return self._backend.name

    @property
    def capacity(self) -> int:
        """How many streams can live at once."""
        return self._table.capacity

    @property
    def steps(self) -> int:
        """Observations applied since this engine was made."""
        return self._steps + int(self._quick_steps[0])

    def lend(self) -> Lent | None:
        """Return what lets compiled code step these streams; None if the backend has no such code.

        This is for a worker's loop (streamlstm/serving/native), which must be alone while it steps.
        """
        if not isinstance(self._backend, CpuBackend):
            return None
        self._lent.append(Lent(self._table, self._backend, self._lock, self._held))
        return self._lent[-1]

    def changes(self) -> Changes:
        """Return what tells which streams change from now on, and takes streams back.

        This is for a worker that keeps its streams in a store as well (streamlstm/serving).
        """
        self._stored = True
        return Changes(self._table, self._lock, self._held)

    def owners(self) -> Owners:
        """Return what keeps who brought which streams here.

        This is for a worker that limits what one client may take (streamlstm/serving).
        """
        return Owners(self._table, self._lock, self._held)

    def idle(self) -> Idle:
        """Return what finds streams that were idle for long, and lets go of them.

        This is for a worker that has more streams than memory (streamlstm/serving).
        """
        return Idle(self._table, self._lock, self._held)

    def reload(self, model: Model, anew: bool = False) -> Reloaded:
        """Go on with another model, between two steps.

        What takes time (checks, kernels, weights, a first step) is done before, while other threads
        step with the old model; then all steps wait for some 0.1 ms, and for longer if streams
        begin anew. Two calls at once are carried out one after the other.

        Parameters
        ----------
        model : Model
            With the same inputs, outputs, categories and horizon, and layers whose memory is laid
            out alike: weights, scaling and layers without a memory may be others. Every stream
            goes on with its state.
        anew : bool
            Let all streams begin anew, with any model. Their numbers stay, so that the next
            observation is the one after the last; their event times are forgotten.

        Returns
        -------
        Reloaded
            Fingerprints of both models and what is another, in words.

        Raises
        ------
        ModelMismatchError
            If streams cannot go on with the model; it says why. Nothing has changed.
        ModelError
            If it is no model, or the streams are in a store as well: then its worker is to be
            asked, ``streamlstm reload``.
        """
        if self._stored:
            raise ModelError(
                "reload: the streams of this engine are in a store as well, which has to follow; "
                "ask its worker (Client.reload, streamlstm reload)."
            )
        with self._reloading:
            return self.follow(self.prepare(model, anew))

    def prepare(self, model: Model, anew: bool = False) -> Next:
        """Make a model ready for :meth:`follow`; the first half of :meth:`reload`.

        This is for a worker, which must not step meanwhile what its loop steps; any thread.
        """
        if not isinstance(model, Model):
            raise ModelError(
                f"model: expected a Model, got {type(model).__name__}; Model.load(path) reads one."
            )
        return make_next(self._model, model, anew, self._table, self._make)

    def follow(self, next: Next) -> Reloaded:
        """Go on with a model that is ready; the second half of :meth:`reload`.

        Raises
        ------
        ModelError
            If it was made ready for another model than the one that runs.
        """
        with self._lock, self._held:
            if next.running is not self._model:
                raise ModelError("reload: another model came in between; reload once more.")
            table, model = self._table, next.model
            if next.rows is None:
                table.start_with(next.initial)
            else:
                if table.on_host:
                    next.rows[next.filled : table.used] = next.initial
                before, after = self._prediction, prediction_place(model)
                table.begin_anew(next.initial, next.rows, place_of(before), place_of(after))
            next.backend.succeed(self._backend, table.rows)
            self._backend = next.backend
            self._run(model)
            if isinstance(next.backend, CpuBackend):
                for lent in self._lent:
                    lent.follow(next.backend)
        return next.what

    def __len__(self) -> int:
        """Return how many streams are live."""
        return len(self._table)

    def __contains__(self, stream: StreamId) -> bool:
        """Tell whether ``stream`` is live."""
        stream = check_stream_id(stream)
        with self._lock, self._held:
            return stream in self._table

    def streams(self) -> list[StreamId]:
        """Return the ids of all live streams, in the order in which they came."""
        with self._lock, self._held:
            return self._table.streams()

    def list_streams(
        self, prefix: str | None = None, after: StreamId | None = None, count: int = 1_000
    ) -> list[tuple[StreamId, int]]:
        """Return the next streams and their last numbers, in an order of ids.

        Parameters
        ----------
        prefix : str, optional
            Only texts that begin so.
        after : str or int, optional
            The id behind which to begin; it need not exist.
        count : int
            How many to return at most.

        Returns
        -------
        list of (str or int, int)
            Integers first, by value, then texts by the bytes of their UTF-8.
        """
        after = None if after is None else check_stream_id(after)
        with self._lock, self._held:
            return listed(self._table, prefix, after, count)

    def last_seqs(self, streams: Sequence[StreamId]) -> list[int]:
        """Return the number of each stream's last observation; 0 if it has none, or is unknown."""
        ids = [check_stream_id(stream) for stream in streams]
        with self._lock, self._held:
            return [self._last_seq(self._table.find(stream)) for stream in ids]

    def step(
        self, stream: StreamId, x: ArrayLike, *, seq: int = 0, time: float | None = None
    ) -> Float32Array:
        """Advance one stream by one observation.

        Parameters
        ----------
        stream : str or int
            The stream's id; a new one begins with an empty memory.
        x : float32[F]
            The observation, finite, in the unit of the series.
        seq : int
            Its number in the stream, rising by one from 1; 0 if observations are not numbered.
        time : float, optional
            Event time in seconds.

        Returns
        -------
        float32[O]
            The prediction, in the unit of the series.

        Raises
        ------
        ShapeError, BadValueError, StreamIdError
            If an argument is not as described.
        GapError, DuplicateError
            If ``seq`` is not the next one of the stream.
        CapacityError
            If the stream is new and all slots are taken.

        Notes
        -----
        Whatever is raised, no stream has changed. The exceptions stand in streamlstm.errors, and
        all are StreamLSTMError. The time is kept beside the state and goes with it; it changes no
        prediction.
        """
        if time is None and type(seq) is int and self._quick:
            if type(x) is not _ARRAY or x.dtype is not _FLOAT32 or x.ndim != 1:
                x = self._row(x)
            y = _EMPTY(self._outputs, _FLOAT32)
            try:
                if type(stream) is str:
                    if self._step_text(self._head, self._task, stream, x, seq, y):
                        return y
                elif type(stream) is int and self._step_integer(
                    self._head, self._task, stream, x, seq, y
                ):
                    return y
            except OverflowError:
                pass  # an integer beyond 64 bits
        # The slow way knows new streams, other types and every error.
        if type(stream) is not str:
            stream = check_stream_id(stream)
        model, row = self._model, self._observation(x)
        with self._lock, self._held:
            if self._model is not model:
                row = self._observation(row)
            slot = self._table.find(stream)
            if seq != 0 or time is not None:
                seq = check_seq(stream, seq, self._last_seq(slot))
                time = check_time(stream, time)
            if slot < 0:
                slot = self._table.claim(check_stream_id(stream))
            return self._step_one(slot, row, seq, time)

    def step_many(
        self,
        streams: Sequence[StreamId],
        X: ArrayLike,
        *,
        seqs: Sequence[int] | None = None,
        times: Sequence[float | None] | None = None,
    ) -> Float32Array:
        """Advance many streams by one observation each; a stream may come more than once.

        Parameters
        ----------
        streams : sequence of str or int, or integer array, length B
            Observations of one stream are applied in the order in which they stand here. Ids that
            are all text or all integers are found several times quicker than a mixture.
        X : float32[B, F]
            The observations.
        seqs, times : sequences of length B, optional
            As for :meth:`step`.

        Returns
        -------
        float32[B, O]
            The predictions, in the same order.

        Raises
        ------
        StreamLSTMError
            As for :meth:`step`, naming the first observation at fault. Then none was applied.
        """
        model, (ids, X) = self._model, self._observations(streams, X)
        self._refuse_bad(ids, X)
        with self._lock, self._held:
            if self._model is not model:
                self._refuse_bad(*self._observations(ids, X))
            self._backend.reserve(len(ids))
            block = quick_block(self._table, ids, seqs, times)
            if block is None:
                errors: dict[int, StreamLSTMError] = {}
                checked = self._check_each(_as_list(ids), seqs, times, errors)
                for n, error in errors.items():
                    error.position = n
                    raise error
                block = slow_block([self._table.claim(stream) for stream in checked], seqs, times)
                self._table.note_changed(*block.slots)
            return self._step_rounds(block, X)

    def step_each(
        self,
        streams: Sequence[StreamId],
        X: ArrayLike,
        *,
        seqs: Sequence[int] | None = None,
        times: Sequence[float | None] | None = None,
    ) -> tuple[Float32Array, dict[int, StreamLSTMError]]:
        """Apply every observation that is good, and say of each other one why it is not.

        This is what a server does with the messages of many clients.

        Parameters
        ----------
        streams, X, seqs, times
            As for :meth:`step_many`; X itself must have the right shape.

        Returns
        -------
        Y : float32[B, O]
            Predictions; NaN where there is none.
        errors : dict of int to StreamLSTMError
            For each observation that was refused, by its position, what :meth:`step` would have
            raised.
        """
        model, (ids, X) = self._model, self._observations(streams, X)
        bad = bad_rows(X, self._categories)
        with self._lock, self._held:
            if self._model is not model:
                bad = bad_rows(self._observations(ids, X)[1], self._categories)
            self._backend.reserve(len(ids))
            block = None if bad else quick_block(self._table, ids, seqs, times)
            if block is not None:
                return self._step_rounds(block, X), {}
            given = _as_list(ids)
            errors: dict[int, StreamLSTMError] = {
                n: self._bad_value(X[n], f"stream {given[n]!r}") for n in bad
            }
            checked = self._check_each(given, seqs, times, errors)
            good = [n for n in range(len(checked)) if n not in errors]
            Y = np.full((len(checked), self._model.output_size), np.nan, np.float32)
            block = slow_block(
                [self._table.claim(checked[n]) for n in good],
                None if seqs is None else [seqs[n] for n in good],
                None if times is None else [times[n] for n in good],
            )
            self._table.note_changed(*block.slots)
            Y[good] = self._step_rounds(block, X[good])
            return Y, dict(sorted(errors.items()))

    def explain(self, stream: StreamId, x: ArrayLike) -> Explanation:
        """Show what the network would do with an observation, without advancing the stream.

        Parameters
        ----------
        stream : str or int
            A stream that has no state here is shown with the memory of a new one.
        x : float32[F]
            The observation, as for :meth:`step`.

        Returns
        -------
        Explanation
            Every layer's gates, candidate, cell and hidden state, and the prediction.

        Raises
        ------
        ShapeError, BadValueError, StreamIdError
            As for :meth:`step`.
        """
        stream = check_stream_id(stream)
        model, row = self._model, self._observation(x)
        with self._lock, self._held:
            if self._model is not model:
                row = self._observation(row)
            slot = self._table.find(stream)
            state = self._table.rows[slot].copy() if slot >= 0 else initial_row(self._model)
            if self._explainer is None:
                self._explainer = Explainer(self._model)
            explainer = self._explainer
        return explainer.explain(state, row)

    def stream(self, stream: StreamId) -> Stream:
        """Return a handle to one stream that skips the look-up of its id."""
        return Stream(self, check_stream_id(stream))

    def reset(self, stream: StreamId) -> None:
        """Empty a stream's memory: its next observation is its first.

        Raises
        ------
        UnknownStreamError
            If the stream has no state here.
        """
        stream = check_stream_id(stream)
        with self._lock, self._held:
            self._table.clear(self._table.slot(stream))

    def forget(self, stream: StreamId) -> None:
        """Drop a stream and free its slot.

        Raises
        ------
        UnknownStreamError
            If the stream has no state here.
        """
        stream = check_stream_id(stream)
        with self._lock, self._held:
            self._table.free(stream)

    def export_stream(self, stream: StreamId) -> bytes:
        """Return all that is remembered of a stream, for :meth:`import_stream` here or elsewhere.

        Raises
        ------
        UnknownStreamError
            If the stream has no state here.
        """
        stream = check_stream_id(stream)
        with self._lock, self._held:
            table, slot = self._table, self._table.slot(stream)
            return pack_state(
                self._model.fingerprint,
                table.rows[slot],
                int(table.seq[slot]),
                float(table.time[slot]),
            )

    def import_stream(self, stream: StreamId, blob: bytes) -> None:
        """Give a stream the state that :meth:`export_stream` returned, bit for bit.

        Raises
        ------
        ModelMismatchError
            If the state belongs to another model.
        BadValueError
            If it is damaged or not such a state at all. The stream has not changed.
        CapacityError
            If the stream is new and all slots are taken.
        """
        stream = check_stream_id(stream)
        with self._lock, self._held:
            row, seq, time = unpack_state(
                blob, self._model.fingerprint, self._backend.row_size, self._prediction.start
            )
            slot = self._table.claim(stream)
            self._table.note_changed(slot)
            self._table.rows[slot] = row
            self._table.seq[slot] = seq
            self._table.time[slot] = time

    def last_seq(self, stream: StreamId) -> int:
        """Return the number of a stream's last observation; 0 if none was numbered.

        Raises
        ------
        UnknownStreamError
            If the stream has no state here.
        """
        stream = check_stream_id(stream)
        with self._lock, self._held:
            return int(self._table.seq[self._table.slot(stream)])

    def last_prediction(self, stream: StreamId, seq: int) -> Float32Array | None:
        """Return once more what the numbered observation ``seq`` was answered.

        Returns
        -------
        float32[O] or None
            None if that is not the last observation of the stream that was numbered: only its
            prediction is kept, with the state, for who sends it twice. None too if it was made by
            a model with another number of outputs.
        """
        stream = check_stream_id(stream)
        with self._lock, self._held:
            slot = self._table.find(stream)
            if slot < 0 or seq == 0 or self._table.seq[slot] != seq:
                return None
            y: Float32Array = self._table.rows[slot, self._prediction].copy()
            return None if is_unknown(y) else y

    def _row(self, x: ArrayLike) -> Float32Array:
        """Return one observation as float32[F]; its values are not looked at."""
        if isinstance(x, list) and x and type(x[0]) is not bool:
            # Six times quicker than numpy for a few numbers, and as strict.
            with suppress(struct.error, OverflowError):
                return np.frombuffer(self._pack(*x), _FLOAT32)
        row = x if type(x) is _ARRAY and x.dtype is _FLOAT32 else to_float32(x, "observation")
        if row.shape != self._one_x.shape[1:]:
            raise ShapeError(
                f"observation: expected {self._model.input_size} features "
                f"({', '.join(self._model.inputs)}), got shape {row.shape}."
            )
        return row

    def _observation(self, x: ArrayLike) -> Float32Array:
        """Return one observation as float32[F], checked."""
        row = self._row(x)
        # For one observation a sum in Python is three times quicker than numpy's isfinite and all;
        # finite float32 values cannot overflow it.
        if not math.isfinite(sum(row.tolist())) or (
            self._categories and bad_rows(row[None], self._categories)
        ):
            raise self._bad_value(row, "observation")
        return row

    def _bad_value(self, x: Float32Array, where: str) -> StreamLSTMError:
        return bad_value(x, self._model.inputs, self._categories, where)

    def _refuse_bad(self, ids: list[StreamId] | NDArray[Any], X: Float32Array) -> None:
        """Raise the error of the first observation that is none, if there is one."""
        for n in bad_rows(X, self._categories):
            error = self._bad_value(X[n], f"observation {n}, stream {_as_list(ids)[n]!r}")
            error.position = n
            raise error

    def _observations(
        self, streams: Iterable[StreamId], X: ArrayLike
    ) -> tuple[list[StreamId] | NDArray[Any], Float32Array]:
        """Return ids, a list or array, and observations as float32[B, F], their shape checked."""
        if isinstance(streams, str | bytes):
            raise ShapeError(f"streams: expected a sequence of ids, got the single {streams!r}.")
        if isinstance(streams, np.ndarray) and streams.ndim == 0:
            raise ShapeError(f"streams: expected a sequence of ids, got the single {streams}.")
        if isinstance(streams, np.ndarray) and (
            streams.ndim != 1 or streams.dtype.kind not in "iu"
        ):
            streams = streams.tolist()
        if not isinstance(streams, np.ndarray):
            streams = list(streams)
        X = to_float32(X, "observations")
        expected = (len(streams), self._model.input_size)
        if X.shape != expected and not (len(streams) == 0 and X.size == 0):
            raise ShapeError(
                f"observations: expected shape {expected} for {expected[0]} streams and features "
                f"{', '.join(self._model.inputs)}, got {X.shape}."
            )
        return streams, X.reshape(expected)

    def _last_seq(self, slot: int) -> int:
        return int(self._table.seq[slot]) if slot >= 0 else 0

    def _check_each(
        self,
        streams: Sequence[StreamId],
        seqs: Sequence[int] | None,
        times: Sequence[float | None] | None,
        errors: dict[int, StreamLSTMError],
    ) -> list[StreamId]:
        """Return the ids as they are kept; add to ``errors`` what must be refused."""
        for name, given in (("seqs", seqs), ("times", times)):
            if given is not None and len(given) != len(streams):
                raise ShapeError(f"{name}: expected {len(streams)} of them, got {len(given)}.")
        table = self._table
        ids: list[StreamId] = list(streams)
        last: dict[StreamId, int] = {}
        fresh: set[StreamId] = set()
        for n in range(len(ids)):
            if n in errors:
                continue
            try:
                stream = ids[n] = check_stream_id(ids[n])
                slot = table.find(stream)
                before = last.get(stream)
                seq = 0
                if seqs is not None:
                    seq = check_seq(
                        stream, seqs[n], self._last_seq(slot) if before is None else before
                    )
                if times is not None:
                    check_time(stream, times[n])
                if slot < 0 and stream not in fresh:
                    if len(fresh) >= table.room:
                        raise table.full(stream)
                    fresh.add(stream)
                if seq:
                    last[stream] = seq
            except StreamLSTMError as error:
                errors[n] = error
        return ids

    def _step_one(self, slot: int, x: Float32Array, seq: int, time: float | None) -> Float32Array:
        """Apply one checked observation."""
        self._table.note_changed(slot)
        self._one_slot[0] = slot
        self._one_seq[0] = seq
        self._one_x[0] = x
        self._backend.step_block(
            self._table.rows, self._one_slot, self._one_x, self._one_y, self._one_seq
        )
        self._steps += 1
        if seq:
            self._table.seq[slot] = seq
        if seq and self._table.on_host:
            self._table.rows[slot, self._prediction] = self._one_y[0]
        if time is not None:
            self._table.time[slot] = time
        y: Float32Array = self._one_y[0].copy()
        return y

    def _step_rounds(self, block: Block, X: Float32Array) -> Float32Array:
        """Apply checked observations; a stream that comes twice goes into two blocks."""
        slots, rows = block.slots, self._table.rows
        Y = np.empty((len(slots), self._outputs), np.float32)
        if not block.repeats:
            self._backend.step_block(rows, slots, X, Y, block.seqs)
        else:
            for chosen in rounds(slots):
                part = np.empty((len(chosen), Y.shape[1]), np.float32)
                seqs = block.seqs[chosen] if len(block.seqs) else block.seqs
                self._backend.step_block(rows, slots[chosen], X[chosen], part, seqs)
                Y[chosen] = part
        self._steps += len(slots)
        if len(block.seqs) or len(block.times):
            self._table.note(slots, block.seqs, block.times, Y, self._prediction.start)
        return Y


def _as_list(streams: list[StreamId] | NDArray[Any]) -> list[StreamId]:
    """Return ids as Python objects, as errors show them."""
    return streams.tolist() if isinstance(streams, np.ndarray) else streams
