"""Mapping: what a message contributes to which stream."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..data.cells.number_format import NumberFormat
from ..engine.ids import check_stream_id
from ..engine.numbers import sparse_seq
from ..errors import BadValueError, DataError, StreamLSTMError, shown
from .messages import Message
from .payloads import DECODERS, UNITS, Path, number_of, time_of, whole_of
from .settings import Settings
from .topics import TopicPattern, check_template, default_stream, fill


class Part(NamedTuple):
    """What a message says: values of some of the inputs of a stream, NaN for those that it lacks.

    Attributes
    ----------
    number : int
        A sparse sequence number, or 0.
    time : float or None
        When the values were measured.
    has_own_time : bool
        Whether the payload says that time.
    """

    stream: str
    values: list[float]
    number: int
    time: float | None
    has_own_time: bool
    message: Message


def stream_of(settings: Settings, pattern: TopicPattern, more_names: Sequence[str]) -> str:
    """Return the template of the streams of a pattern."""
    known = [*pattern.names, "topic", "key", *more_names]
    return check_template("stream", settings.stream or default_stream(pattern), known)


class Mapping:
    """Makes a :class:`Part` of a message.

    Parameters
    ----------
    settings : Settings
    inputs : sequence of str
        Names of the model's inputs.
    separator : str
        Between the levels of a topic.
    more_names : sequence of str
        What the broker's messages name besides: ``partition``, say.
    """

    def __init__(
        self,
        settings: Settings,
        inputs: Sequence[str],
        separator: str,
        more_names: Sequence[str] = (),
    ) -> None:
        self._inputs = list(inputs)
        self.patterns = [TopicPattern(topic, separator) for topic in settings.topics]
        self._streams = [stream_of(settings, each, more_names) for each in self.patterns]
        self._format, self._decode = settings.format, DECODERS[settings.format]
        counts = 1 if settings.format == "csv" else 0
        self._paths = [Path(text, counts) for text in settings.features]
        if self._paths and len(self._paths) != len(inputs):
            raise BadValueError(
                f"features: expected a path for each input of the model ({', '.join(inputs)}), got "
                f"{len(self._paths)}"
            )
        self._by_name = [Path(name) if _is_path(name) else None for name in inputs]
        self._time = Path(settings.time, counts) if settings.time else None
        self._number = Path(settings.number, counts) if settings.number else None
        generation = settings.generation
        self._generation = int(generation) if generation.isdigit() else Path(generation, counts)
        self._unit = UNITS[settings.time_unit]
        self._numbers = NumberFormat(decimal=settings.decimal)

    def part(self, message: Message) -> Part:
        """Return what a message contributes.

        Raises
        ------
        DataError, StreamLSTMError
            If it cannot be understood.
        """
        try:
            return self._part(message)
        except (StreamLSTMError, MemoryError):
            raise
        except Exception as error:  # as of lists in lists, or an integer, too long to be decoded
            raise DataError(
                f"expected {self._format} that can be decoded, got what raises "
                f"{type(error).__name__} ({error})"
            ) from None

    def _part(self, message: Message) -> Part:
        names, stream = self._place(message)
        value = self._decode(message.payload)
        time = None if self._time is None else self._time.find(value)
        seconds = message.time if time is None else time_of(time, "time", self._unit)
        values = self._values(value, names.get("input"))
        return Part(
            stream, values, self._sequence(message, value), seconds, time is not None,
            message,
        )  # fmt: skip

    def _place(self, message: Message) -> tuple[dict[str, str], str]:
        for pattern, template in zip(self.patterns, self._streams, strict=True):
            names = pattern.match(message.topic)
            if names is not None:
                every = {"topic": message.topic, "key": message.key, **message.names, **names}
                stream = fill(template, every)
                check_stream_id(stream)
                return names, stream
        raise DataError("the topic is none of those that are read")

    def _values(self, value: Any, input_: str | None) -> list[float]:
        if input_ is not None:
            return self._value_of_input(value, input_)
        if self._paths:
            found = [path.find(value) for path in self._paths]
            names = [path.text for path in self._paths]
        elif isinstance(value, dict):
            found = [
                value[name] if name in value else path and path.find(value)
                for name, path in zip(self._inputs, self._by_name, strict=True)
            ]
            names = self._inputs
        else:
            found = list(value) if isinstance(value, list | tuple) else [value]
            names = self._inputs
            if len(found) != len(names):
                raise DataError(
                    f"expected {len(names)} values ({', '.join(names)}), got {len(found)}"
                )
        return self._numbers_of(found, names, value)

    def _value_of_input(self, value: Any, name: str) -> list[float]:
        """Return the one value of a message whose topic names the input."""
        if name not in self._inputs:
            raise DataError(
                f"expected the name of an input ({', '.join(self._inputs)}) in the topic, got "
                f"{name!r}"
            )
        if self._paths:
            value = self._paths[self._inputs.index(name)].find(value)
        elif isinstance(value, dict):
            value = value.get("value", value.get(name))
        elif isinstance(value, list) and len(value) == 1:
            value = value[0]
        values = [math.nan] * len(self._inputs)
        (values[self._inputs.index(name)],) = self._numbers_of([value], [name])
        return values

    def _numbers_of(
        self, found: Sequence[Any], names: Sequence[str], payload: Any = None
    ) -> list[float]:
        values = [
            number_of(each, name, self._numbers) for each, name in zip(found, names, strict=True)
        ]
        if all(map(math.isnan, values)):
            keys = ", ".join(map(shown, list(payload)[:5])) if isinstance(payload, dict) else ""
            raise DataError(
                f"expected values of {', '.join(names)}, got none of them"
                f"{keys and f' in an object of {keys}'}"
            )
        return values

    def _sequence(self, message: Message, value: Any) -> int:
        generation = self._generation
        if isinstance(generation, Path):
            generation = whole_of(generation.find(value), generation.text)
        if self._number is None:
            return message.number and sparse_seq(message.number, generation)
        number = self._number.find(value)
        if number is None:
            number = message.properties.get(self._number.text)
        try:
            return sparse_seq(whole_of(number, self._number.text), generation)
        except BadValueError as error:
            raise DataError(f"{self._number.text}: {error}") from None


def _is_path(name: str) -> bool:
    try:
        Path(name)
    except StreamLSTMError:
        return False
    return True
