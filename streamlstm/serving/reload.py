"""Reloads the model of a running worker: prepared in a thread, exchanged between two blocks.

The thread reads the file, checks it, compiles kernels that were not used here yet, packs the
weights, makes a first step, and writes the new model into the store's header. The loop continues
with the old model meanwhile. Only then, in the loop's own thread, everything changes at once.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

from ..engine.engine import Engine
from ..engine.records import record_size
from ..engine.reload import PreparedReload, ReloadResult
from ..errors import ModelError, ModelFileError, StoreError, StreamLSTMError
from ..network.model import Model
from .line_limit import LineLimit
from .stores.checkpointer import Checkpointer
from .stores.epochs import Epochs
from .stores.header import Header, header_of

_LOG = logging.getLogger(__name__)

COMMIT_SECONDS = 10.0  # for which a reload that restarts streams waits for the store at most
STOP_SECONDS = 1.0  # for which a worker that stops waits for the thread


class BusyError(StreamLSTMError):
    """A reload is not possible at the moment."""

    code = "busy"


class _Prepared(NamedTuple):
    """A reload that can be committed, and the store's header before and now."""

    reload: PreparedReload
    before: Header | None
    after: Header | None


class Reloader:
    """Changes the model of an engine that a loop steps, one reload at a time.

    Parameters
    ----------
    engine : Engine
    model_file : path-like or None
        The file of the model; None if it came from no file.
    checkpointer : Checkpointer or None
        Commits to the engine's store.
    lines : LineLimit
        Of the log.

    Attributes
    ----------
    count : int
        Reloads that were made.
    """

    def __init__(
        self,
        engine: Engine,
        model_file: Path | None,
        checkpointer: Checkpointer | None,
        lines: LineLimit,
    ) -> None:
        self._engine, self._checkpointer, self._lines = engine, checkpointer, lines
        # Where it is, not what it points to: a link may point to another file by then.
        self._file = None if model_file is None else Path(model_file).absolute()
        self._thread: threading.Thread | None = None
        self._outcome: _Prepared | StreamLSTMError | None = None
        self._commit_deadline = 0.0
        self._held, self._cancelled = False, ""
        self.count = 0

    @property
    def prepared(self) -> str:
        """The fingerprint of a model that waits for :meth:`release`; empty if none does."""
        if not self._held or not isinstance(self._outcome, _Prepared):
            return ""
        return self._outcome.reload.result.model

    def begin(self, anew: bool, file: Path | None = None, hold: bool = False) -> None:
        """Begin to prepare the model of the file; :meth:`turn` returns the outcome.

        Parameters
        ----------
        anew : bool
            All streams restart.
        file : Path, optional
            Another file than that of the model.
        hold : bool
            Change the model only after :meth:`release`.

        Raises
        ------
        ModelError
            If the model came from no file.
        BusyError
            If another reload is under way.
        """
        if self._file is None:
            raise ModelError(
                "reload: this worker was not started with a model file, so there is none to read "
                "again; a detector never changes, and in a program of yours call Engine.reload, or "
                "give Service the file."
            )
        if self._thread is not None:
            raise BusyError("reload: another one is under way; ask again when it is done.")
        self._held, self._cancelled = hold, ""
        self._thread = threading.Thread(
            target=self._run, args=(file or self._file, anew), name="reload", daemon=True
        )
        self._thread.start()

    def release(self) -> None:
        """Let a model that is held be taken."""
        self._held = False
        self._commit_deadline = time.monotonic() + COMMIT_SECONDS

    def cancel(self, reason: str) -> None:
        """Keep the running model; :meth:`turn` says why when the thread is done."""
        self._cancelled = reason

    def turn(self) -> tuple[ReloadResult, float] | StreamLSTMError | None:
        """Change the model if one is ready; from the loop's thread, between two blocks.

        Returns
        -------
        (ReloadResult, float), StreamLSTMError or None
            What was changed, and the seconds that it took; or why nothing was; or None if there is
            no outcome (yet).
        """
        outcome = self._outcome
        if outcome is None:
            return None
        if isinstance(outcome, _Prepared) and self._cancelled:
            outcome = self._withdraw(outcome, self._cancelled)
        if isinstance(outcome, _Prepared) and self._held:
            return None
        if isinstance(outcome, _Prepared) and outcome.reload.anew and self._is_committing():
            if time.monotonic() < self._commit_deadline:
                return None
            outcome = self._withdraw(outcome, "reload: the store cannot be written at the moment")
        self._thread = self._outcome = None
        return outcome if isinstance(outcome, StreamLSTMError) else self._commit(outcome)

    def stop(self) -> StreamLSTMError | None:
        """Cancel a reload that is under way; return what to answer then."""
        if self._thread is None:
            return None
        self._thread.join(STOP_SECONDS)
        self._thread = self._outcome = None
        return BusyError("reload: the worker stops; started again it takes the file as it is then.")

    def _commit(self, prepared: _Prepared) -> tuple[ReloadResult, float] | StreamLSTMError:
        start = time.perf_counter()
        try:
            result = self._engine.commit_reload(prepared.reload)
        except StreamLSTMError as error:
            return error
        if self._checkpointer is not None and prepared.after is not None and prepared.reload.anew:
            self._checkpointer.start_epoch(Epochs(prepared.after, self._engine.model))
        self.count += 1
        return result, time.perf_counter() - start

    def _is_committing(self) -> bool:
        return self._checkpointer is not None and not self._checkpointer.between_commits

    def _withdraw(self, prepared: _Prepared, reason: str) -> StreamLSTMError:
        """Write the header of the running model back into the store."""
        if self._checkpointer is not None and prepared.before is not None:
            try:
                self._checkpointer.set_header(prepared.before)
            except StoreError as error:
                reason = f"{reason} ({error}); its header already says that all streams restart"
        return BusyError(f"{reason}. The model that runs continues; ask again later.")

    # --- in the thread ---

    def _run(self, file: Path, anew: bool) -> None:
        outcome: _Prepared | StreamLSTMError
        try:
            outcome = self._prepare(Model.load(file), anew)
        except ModelFileError as error:
            outcome = ModelFileError(f"reload: {error} The model that runs continues.")
        except StreamLSTMError as error:
            outcome = error
        except MemoryError:
            outcome = ModelError("reload: there is not enough memory for a second model.")
        except Exception as error:
            said = "a model could not be made ready"
            self._lines.write(_LOG, logging.ERROR, said, kind="reload failed", error=error)
            outcome = ModelError(
                f"reload: failed with {type(error).__name__}; the worker's log says where. The "
                "model that runs continues."
            )
        self._commit_deadline = time.monotonic() + COMMIT_SECONDS
        self._outcome = outcome

    def _prepare(self, model: Model, anew: bool) -> _Prepared:
        reload = self._engine.prepare_reload(model, anew)
        if self._checkpointer is None:
            return _Prepared(reload, None, None)
        # Written before the change: a worker that is killed from now on may start with either.
        before = self._checkpointer.header
        new = header_of(model, record_size(len(reload.initial)))
        after = new.restarted_from(before) if anew else new.continued_from(before)
        self._checkpointer.set_header(after)
        return _Prepared(reload, before, after)


def describe_reload(outcome: tuple[ReloadResult, float]) -> dict[str, Any]:
    """Return the value of a reply to RELOAD."""
    result, seconds = outcome
    return {**result._asdict(), "paused": seconds}
