"""A stretch of a stream from a running worker: what it publishes, from now on."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from streamlstm.errors import DataError

if TYPE_CHECKING:
    from streamlstm.client.observing import Published
    from streamlstm.client.subscriber import Subscriber
    from streamlstm.plots.strip import Strip

KEPT = 100_000  # observations that are remembered
LOOK = 0.2  # seconds between two looks at the clock while nothing comes
NAN = float("nan")


class _Seen(NamedTuple):
    """What was published with an observation; bounds and prediction are for a later one."""

    at: float
    prediction: float
    low: float
    high: float
    came: float
    score: float
    alarm: bool


class Recent:
    """Collects what a worker says of one stream.

    Parameters
    ----------
    subscriber : Subscriber
        Of this stream; others that it receives are left out.
    stream : str
    model : mapping
        What INFO tells of it.
    output : str or None
        The output to draw, the first if left out.

    Raises
    ------
    DataError
        If the model has no such output.
    """

    def __init__(
        self, subscriber: Subscriber, stream: str, model: Mapping[str, Any], output: str | None
    ) -> None:
        from streamlstm.cli.came import Came, horizons_of

        self.subscriber, self.stream = subscriber, stream
        names = list(model["outputs"])
        if output is not None and output not in names:
            raise DataError(f"--column {output}: the model's outputs are {', '.join(names)}")
        self.name = names[0] if output is None else output
        self._output = names.index(self.name)
        horizons = horizons_of(model)
        self._ahead = horizons[self._output]
        self._came = Came(horizons) if min(horizons) > 0 else None
        self._seen: deque[_Seen] = deque(maxlen=KEPT)

    def __len__(self) -> int:
        return len(self._seen)

    def follow(self, seconds: float) -> Iterator[None]:
        """Collect for so many seconds; yield after each observation, and while none comes."""
        from streamlstm.client.observing import Published
        from streamlstm.errors import WorkerTimeoutError

        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                event = self.subscriber.receive_event()
            except WorkerTimeoutError:
                yield
                continue
            if isinstance(event, Published) and str(event.stream) == self.stream:
                self._add(event)
                yield

    def _add(self, event: Published) -> None:
        observed, n = event.observed, self._output
        came = None if self._came is None else self._came.values(event.stream, event.seq, observed)
        self._seen.append(
            _Seen(
                time.time(),
                float(observed.y[n]),
                float(observed.low[n]),
                float(observed.high[n]),
                NAN if came is None else came[n],
                float(observed.score),
                bool(observed.alarm),
            )
        )

    def strip(self) -> Strip:
        """Return what was seen: where it is known what came, beside the prediction for it."""
        import numpy as np

        from streamlstm.plots.strip import Strip

        at, made, low, high, came, score, alarm = np.array(self._seen, np.float64).T
        if not np.isfinite(came).any():
            return Strip(at, {f"{self.name}, prediction": made})

        def then(values: Any) -> Any:  # what had been said of each moment
            return np.concatenate([np.full(self._ahead, NAN), values])[: len(values)]

        return Strip(
            at,
            {self.name: came, "predicted": then(made)},
            (then(low), then(high)) if np.isfinite(low).any() else None,
            score if np.isfinite(score).any() else None,
            alarm > 0,
        )


def subscribe(
    endpoints: Path | None, xpub: str | None, stream: str, keys: dict[str, Any]
) -> Subscriber:
    """Return a subscriber of a stream, by its text id and by its number if it is one."""
    from streamlstm import wire
    from streamlstm.client.subscriber import Subscriber

    where: dict[str, Any] = {"endpoints": endpoints} if endpoints else {"xpub": xpub or wire.XPUB}
    ids: list[str | int] = [stream, int(stream)] if stream.isdecimal() else [stream]
    return Subscriber(**where, streams=ids, timeout=LOOK, **keys)
