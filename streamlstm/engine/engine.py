"""The engine: a model, the state of its streams, and the steps that advance them."""

import threading
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from ..backends.cpu import CpuBackend
from ..backends.factory import make_backend
from ..backends.plan import initial_row
from ..errors import ModelError
from ..kernels.online.outcomes import APPLIED
from ..network.html import as_table
from ..network.model import Model
from .dirty_tracker import DirtyTracker
from .explain import Explainer, Explanation
from .forecast import Forecast, check_forecast, roll_out
from .hand_over import HandOver
from .idle_evictor import IdleEvictor
from .ids import StreamId, check_stream_id
from .labels import check_labels, label_error, steps_back
from .native_view import NativeView
from .reload import PreparedReload, ReloadResult, prepare_reload
from .runs import Runs
from .stream import Stream
from .stream_owners import StreamOwners
from .stream_producers import StreamProducers
from .validation import (
    check_flag,
    check_model,
    check_threads,
    check_time,
)


class Engine(Runs):
    """Holds the state of many streams and advances it, one observation at a time.

    Every method may be called from several threads; one call runs at a time. A call from within
    another one (by a signal handler or a finalizer that runs in between) would deadlock: let those
    set a flag for later instead.

    Parameters
    ----------
    model : Model
        What to compute.
    capacity : int
        Maximum number of live streams. Memory is used only by streams that have come.
    backend : {"auto", "cpu", "cuda", "cuda:N", "reference"}
        "cuda" keeps the states on an NVIDIA GPU, "cuda:1" on the second one, and takes the memory
        of all ``capacity`` streams at once (docs/cuda.md). "auto" is "cpu": the size
        from which on a GPU is faster has not been measured.
    threads : int, optional
        How many threads may share a large block; one if left out. They wait for each other: on
        quiet cores two are nearly twice as fast, and where other processes compute too, blocks are
        stepped on one thread whenever several were slower. Results do not depend on it.
    weights : {"float32", "float16", "bfloat16", "int8"}
        With 16 bits the matrices of all layers are rounded, with "int8" those of plain LSTMs, for
        each output to 255 levels. Plain LSTMs from about 64 hidden units on are quicker: with
        bfloat16 and int8 one stream and blocks, where the processor multiplies such numbers; then
        the inputs of these layers are rounded as well. :func:`streamlstm.check_precision` tells
        what that costs.

    Raises
    ------
    ModelError
        If ``model`` is not a Model, or backend or weights are not among those above.
    BadValueError, CapacityError
        If threads is not an integer from 1 to 1,024, or capacity no positive one, or there is not
        that much memory.
    ForkError
        If several threads are asked for in a process that was forked from one that has used them.

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
        check_model(model)
        make = partial(make_backend, backend, threads=check_threads(threads), weights=weights)
        super().__init__(model, capacity, make)
        self._weights, self._has_store, self._reload_lock = weights, False, threading.Lock()
        self._explainer: Explainer | None = None  # made at the first use

    @property
    def model(self) -> Model:
        """The model that is stepped."""
        return self._model

    @property
    def backend(self) -> str:
        """Name of the backend: "cpu", "cuda" or "reference"."""
        return self._backend.name

    @property
    def weights(self) -> str:
        """Precision of the weights: "float32", "float16", "bfloat16" or "int8"."""
        return self._weights

    @property
    def capacity(self) -> int:
        """Maximum number of live streams."""
        return self._table.limit

    @property
    def steps(self) -> int:
        """Observations applied since this engine was made."""
        return self._steps + int(self._fast_steps[0])

    def __repr__(self) -> str:
        """Show the backend, how much it holds, and the model."""
        return f"<Engine {self.backend}, {self._holds()}, {self._model!r}>"

    def _repr_html_(self) -> str:
        """Show the same in a notebook."""
        shown = [("backend", self.backend), ("holds", self._holds()), ("model", repr(self._model))]
        return as_table("streamlstm Engine", shown)

    def _holds(self) -> str:
        live, steps = len(self._table), self.steps
        return f"{live:,} of {self.capacity:,} streams, {steps:,} step{'s' * (steps != 1)}"

    def learn(self, stream: StreamId, seq: int, y: ArrayLike) -> None:
        """Let a stream learn from labels that come from outside, late and in any order.

        What they show of outputs that forecast no input, such as an alarm, is told with the
        stream's next observation.

        Parameters
        ----------
        stream : str or int
        seq : int
            The number of the observation whose outputs they are; where observations are not
            numbered, how many there were up to it.
        y : float32[O]
            What the outputs should have been, in the unit of the series; NaN for what is not known.

        Raises
        ------
        LabelError
            If the observation has not come yet, is not kept any more, or has got these labels
            before. Nothing has changed.
        ModelError
            If the model takes no labels (``Online(labels=...)``).
        UnknownStreamError, ShapeError, BadValueError
        """
        stream = check_stream_id(stream)
        labels = check_labels(self._model, y)
        with self._lock, self._flag:
            table, slot = self._table, self._table.slot(stream)
            columns = self._count
            high, low = table.rows[slot, columns].astype(np.int64).tolist()
            back = steps_back(stream, seq, table.last_seq(slot), (high << 24) + low)
            self._one_slot[0] = slot
            table.mark_dirty(self._one_slot)
            outcome = self._backend.learn(table.rows, slot, back, labels)
        if outcome != APPLIED:
            raise label_error(stream, seq, outcome)

    def forecast(self, stream: StreamId, steps: int) -> Forecast:
        """Forecast a stream several steps ahead without changing it.

        The network is fed with its own forecasts, so its outputs must be its inputs one step later.

        Parameters
        ----------
        stream : str or int
        steps : int
            T.

        Returns
        -------
        Forecast
            ``y``, ``low`` and ``high``, float32[T, O], float64 where outputs have offsets; the
            first row is the forecast that the last observation was answered with.

        Raises
        ------
        UnknownStreamError
            If the stream has no state here.
        ModelError
            If the model has no online stage, or cannot be fed with its own forecasts.
        """
        stream = check_stream_id(stream)
        with self._lock, self._flag:
            check_forecast(self._model, steps)
            slot = self._table.slot(stream)
            row, time = self._table.rows[slot].copy(), float(self._table.time[slot])
            forecast = roll_out(self._model, self._backend, row, time, steps)
            self._backend.use_rows(self._table.rows)
            layout = self._layout
        return Forecast(*map(layout.plus_offsets, forecast))

    def stream(self, stream: StreamId) -> Stream:
        """Return a handle to one stream that skips the look-up of its id."""
        return Stream(self, check_stream_id(stream))

    def explain(self, stream: StreamId, x: ArrayLike, *, time: float | None = None) -> Explanation:
        """Return the values that the network would compute, without advancing the stream.

        Parameters
        ----------
        stream : str or int
            A stream that has no state here is explained from the initial state.
        x, time
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
        schema = self._schema
        row = schema.check_row(x)
        with self._lock, self._flag:
            if self._schema is not schema:
                row = self._schema.check_row(x)
            slot = self._table.find(stream)
            state = self._table.rows[slot].copy() if slot >= 0 else initial_row(self._model)
            if self._explainer is None or self._explainer.model is not self._model:
                self._explainer = Explainer(self._model)
            explainer = self._explainer
        return explainer.explain(state, row, check_time(stream, time, schema.timed))

    def reload(self, model: Model, anew: bool = False) -> ReloadResult:
        """Replace the model between two steps.

        Slow work (checks, kernels, weights, a first step) is done before, while other threads step
        with the old model; then all steps wait for some 0.1 ms, and for longer if streams restart.
        Two calls at once are carried out one after the other.

        Parameters
        ----------
        model : Model
            With the same inputs, outputs, categories, horizon and window, and layers with the same
            state layout: weights, scaling and stateless layers may differ. Every stream keeps its
            state.
        anew : bool
            Let all streams restart from the initial state, with any model. Their sequence numbers
            stay, so the next observation is the one after the last; their event times are cleared.

        Returns
        -------
        ReloadResult
            Fingerprints of both models and what differs, in words.

        Raises
        ------
        ModelMismatchError
            If streams cannot continue with the model; it says why. Nothing has changed.
        ModelError
            If it is not a Model, or the streams are in a store as well: then reload through the
            worker, ``streamlstm reload``.
        """
        if self._has_store:
            raise ModelError(
                "reload: the streams of this engine are in a store as well; ask its worker to "
                "reload (Client.reload, streamlstm reload)."
            )
        with self._reload_lock:
            return self.commit_reload(self.prepare_reload(model, anew))

    # --- for workers (streamlstm/serving) ---

    def prepare_reload(self, model: Model, anew: bool = False) -> PreparedReload:
        """Make a model ready for :meth:`commit_reload`; from any thread, without the lock."""
        check_model(model)
        anew = check_flag("anew", anew)
        return prepare_reload(self._model, model, anew, self._table, self._make)

    def commit_reload(self, prepared: PreparedReload) -> ReloadResult:
        """Replace the model by one that is ready; the second half of :meth:`reload`.

        Raises
        ------
        ModelError
            If it was made ready for another model than the one that runs.
        """
        with self._lock, self._flag:
            if prepared.running is not self._model:
                raise ModelError(
                    "reload: another reload was committed in between; reload once more."
                )
            prepared.switch_rows(self._table)
            prepared.backend.take_over(self._backend, self._table.rows)
            self._use(prepared.model, prepared.backend)
        return prepared.result

    def native_view(self) -> NativeView | None:
        """Return the addresses for a compiled loop; None if the backend has no compiled steps."""
        if not isinstance(self._backend, CpuBackend):
            return None
        self._views.append(NativeView(self._table, self._backend, self._lock, self._flag))
        return self._views[-1]

    def dirty_tracker(self) -> DirtyTracker:
        """Track from now on which streams change, for a store."""
        self._has_store = True
        return DirtyTracker(self._table, self._lock, self._flag)

    def stream_owners(self) -> StreamOwners:
        """Return a record of which client brought which stream, for limits per client."""
        return StreamOwners(self._table, self._lock, self._flag)

    def stream_producers(self) -> StreamProducers:
        """Return the producers of the streams, for a worker that fences them."""
        return StreamProducers(self._table, self._lock, self._flag)

    def hand_over(self) -> HandOver:
        """Return what moves streams from one worker of a fleet to another."""
        return HandOver(self._table, self._lock, self._flag)

    def idle_evictor(self) -> IdleEvictor:
        """Track from now on when streams are used, to evict idle ones."""
        return IdleEvictor(self._table, self._lock, self._flag)
