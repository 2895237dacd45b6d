"""Another model for a worker that runs: made ready in a thread, taken over between two blocks.

The thread reads the file, checks it, compiles what was never used here, packs the weights, makes a
first step, and writes into the store which model comes. The loop goes on with the old model
meanwhile. Only then, in the loop's own thread, everything changes at once.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

from ..engine.dirty import record_size
from ..engine.engine import Engine
from ..engine.reload import Next, Reloaded
from ..errors import ModelError, ModelFileError, StoreError, StreamLSTMError
from ..network.model import Model
from .checkpointer import Keeper
from .stores.epochs import Eras
from .stores.header import Header, header_of

_LOG = logging.getLogger(__name__)

QUIET_SECONDS = 10.0  # for which streams that are to begin anew wait for the store at most
STOP_SECONDS = 1.0  # for which a worker that stops waits for the thread


class _Ready(NamedTuple):
    """A model that is ready, and what the store said, and says now, that it is of."""

    next: Next
    before: Header | None
    after: Header | None


class Reloading:
    """Changes the model of an engine that a loop steps, one change at a time.

    Parameters
    ----------
    engine : Engine
    model_file : path-like or None
        Where the model stands; None if it came from no file.
    keeper : Keeper or None
        Of the engine's store.

    Attributes
    ----------
    count : int
        Changes that were made.
    """

    def __init__(self, engine: Engine, model_file: Path | None, keeper: Keeper | None) -> None:
        self._engine, self._keeper = engine, keeper
        # Where it is, not what it points to: a link may point to another file by then.
        self._file = None if model_file is None else Path(model_file).absolute()
        self._thread: threading.Thread | None = None
        self._outcome: _Ready | StreamLSTMError | None = None
        self._patience = 0.0
        self.count = 0

    def begin(self, anew: bool) -> None:
        """Begin to take the file anew; :meth:`turn` will tell what came of it.

        Raises
        ------
        ModelError
            If the model came from no file.
        StoreError
            If another change is under way. As a code it is ``busy``.
        """
        if self._file is None:
            raise ModelError(
                "reload: this worker was not started with a model file; in a program of yours call "
                "Engine.reload, or give Service the file."
            )
        if self._thread is not None:
            raise BusyError("reload: another one is under way; ask again when it is done.")
        self._thread = threading.Thread(
            target=self._prepare, args=(self._file, anew), name="reload", daemon=True
        )
        self._thread.start()

    def turn(self) -> tuple[Reloaded, float] | StreamLSTMError | None:
        """Change the model if one is ready; from the loop's thread, between two blocks.

        Returns
        -------
        (Reloaded, float), StreamLSTMError or None
            What was changed, and the seconds that it took; or why nothing was; or None if there is
            nothing to tell.
        """
        ready = self._outcome
        if ready is None:
            return None
        if isinstance(ready, _Ready) and ready.next.anew and not self._is_quiet():
            if time.monotonic() < self._patience:
                return None
            ready = self._withdraw(ready)
        self._thread = self._outcome = None
        return ready if isinstance(ready, StreamLSTMError) else self._change(ready)

    def stop(self) -> StreamLSTMError | None:
        """Give up a change that is under way; return what is to be answered then."""
        if self._thread is None:
            return None
        self._thread.join(STOP_SECONDS)
        self._thread = self._outcome = None
        return BusyError("reload: the worker stops; started again it takes the file as it is then.")

    def _change(self, ready: _Ready) -> tuple[Reloaded, float] | StreamLSTMError:
        start = time.perf_counter()
        try:
            what = self._engine.follow(ready.next)
        except StreamLSTMError as error:
            return error
        if self._keeper is not None and ready.after is not None and ready.next.anew:
            self._keeper.begin_anew(Eras(ready.after, ready.next.initial))
        self.count += 1
        return what, time.perf_counter() - start

    def _is_quiet(self) -> bool:
        return self._keeper is None or self._keeper.quiet

    def _withdraw(self, ready: _Ready) -> StreamLSTMError:
        """Let the store be of the model that goes on."""
        said = "reload: the store cannot be written at the moment"
        if self._keeper is not None and ready.before is not None:
            try:
                self._keeper.set_header(ready.before)
            except StoreError as error:
                said = f"{said} ({error}); it says already that its streams begin anew"
        return BusyError(f"{said}. The model that runs goes on; ask again later.")

    # --- in the thread ---

    def _prepare(self, file: Path, anew: bool) -> None:
        outcome: _Ready | StreamLSTMError
        try:
            outcome = self._ready(_load(file), anew)
        except ModelFileError as error:
            outcome = ModelFileError(f"reload: {error} The model that runs goes on.")
        except StreamLSTMError as error:
            outcome = error
        except MemoryError:
            outcome = ModelError("reload: there is not enough memory for a second model.")
        except Exception as error:
            _LOG.error("a model could not be made ready", exc_info=error)
            outcome = ModelError(
                f"reload: failed with {type(error).__name__}; the worker's log says where. The "
                "model that runs goes on."
            )
        self._patience = time.monotonic() + QUIET_SECONDS
        self._outcome = outcome

    def _ready(self, model: Model, anew: bool) -> _Ready:
        next = self._engine.prepare(model, anew)
        if self._keeper is None:
            return _Ready(next, None, None)
        # Written before the change: a worker that is killed from now on comes back with either.
        before = self._keeper.header
        new = header_of(model, record_size(len(next.initial)))
        after = new.begins_anew(before) if anew else new.follows(before)
        self._keeper.set_header(after)
        return _Ready(next, before, after)


def _load(file: Path) -> Model:
    """Read a model from a copy of the file in memory.

    To read it where it is would map it, and to cut off a file that is mapped, as whoever writes
    over it does, kills the process that looks there.
    """
    copy = os.memfd_create("model")
    try:
        with file.open("rb") as source, os.fdopen(os.dup(copy), "wb") as target:
            shutil.copyfileobj(source, target)
        return Model.load(f"/proc/self/fd/{copy}")
    except OSError as error:
        raise ModelFileError(f"{file}: cannot be read: {error.strerror or error}.") from None
    except ModelFileError as error:
        raise ModelFileError(str(error).replace(f"/proc/self/fd/{copy}", str(file))) from None
    finally:
        os.close(copy)


class BusyError(StreamLSTMError):
    """Not now."""

    code = "busy"


def told(outcome: tuple[Reloaded, float]) -> dict[str, Any]:
    """Return what RELOAD is answered."""
    what, seconds = outcome
    return {**what._asdict(), "paused": seconds}
