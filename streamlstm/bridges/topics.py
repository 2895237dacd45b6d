"""Patterns of topics: which are subscribed to, and which stream a topic is of."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence

from ..errors import BadValueError, shown

_NAME = re.compile(r"\{(\w*)\}")
MULTI = {"/": "#", ".": ">"}  # wildcards that stand for the rest, by the separator of levels
SINGLE = {"/": "+", ".": "*"}


class TopicPattern:
    """A pattern such as ``plant/{machine}/temperature``: a name stands for a level, or part of it.

    Parameters
    ----------
    pattern : str
        Wildcards of the broker may stand in it too.
    separator : str
        Between levels: ``/`` of MQTT, ``.`` of NATS; Kafka has none, a name stands for anything.

    Attributes
    ----------
    names : tuple of str
    filter : str
        What to subscribe to: each level with a name is a wildcard.
    """

    def __init__(self, pattern: str, separator: str) -> None:
        self.names = tuple(_NAME.findall(pattern))
        if not pattern or not all(self.names) or len(set(self.names)) < len(self.names):
            raise BadValueError(
                f"in: expected a topic whose names are written {{name}}, each once, got "
                f"{shown(pattern)}"
            )
        if set(_NAME.sub("", pattern)) & set("{}"):
            raise BadValueError(f"in: expected each {{ with its }}, got {shown(pattern)}")
        self._text, self._separator = pattern, separator
        self.filter = self._filter(separator)
        if separator:
            self._check_wildcards(separator)
        single, multi = SINGLE.get(separator), MULTI.get(separator)
        level = f"[^{re.escape(separator)}]+" if separator else ".+"
        parts = re.split(r"(\{\w+\})", pattern)
        expression = ""
        for part in parts:
            if name := _NAME.fullmatch(part):
                expression += f"(?P<{name[1]}>{level})"
            else:
                escaped = re.escape(part)
                if single and multi:
                    escaped = escaped.replace(re.escape(single), level)
                    escaped = escaped.replace(re.escape(multi), ".*")
                expression += escaped
        self._expression = re.compile(expression)

    def _filter(self, separator: str) -> str:
        if not separator:
            return self._text
        levels = self._text.split(separator)
        return separator.join(SINGLE[separator] if _NAME.search(n) else n for n in levels)

    def _check_wildcards(self, separator: str) -> None:
        single, multi = SINGLE[separator], MULTI[separator]
        levels = self.filter.split(separator)
        is_wrong = multi in levels[:-1] or (separator == "." and "" in levels)
        for level in levels:
            is_wrong = is_wrong or (len(level) > 1 and (single in level or multi in level))
        if is_wrong:
            raise BadValueError(
                f"in: expected {multi} as the last level only and {single} as a whole level"
                f"{', no level empty' if separator == '.' else ''}, got {shown(self._text)}"
            )

    @property
    def is_plain(self) -> bool:
        """Whether it is one topic."""
        return self._text == self.filter and not set(self._text) & set("+#*>{}")

    @property
    def example(self) -> str:
        """A topic that it receives."""
        return re.sub(r"\{\w+\}|[+#*>]", "0", self._text)

    def receives(self, topic: str) -> bool:
        """Tell whether the broker sends what is published to a topic, also if it names no stream.

        In MQTT a level may be empty, ``#`` takes the level before it too, and no wildcard
        takes a first level that begins with ``$``.
        """
        if not self._separator:
            return self.match(topic) is not None
        if self._separator == "/" and topic.startswith("$") and self.filter[0] in "+#":
            return False
        mine, levels = self.filter.split(self._separator), topic.split(self._separator)
        if mine[-1] == MULTI[self._separator]:
            mine.pop()
            if len(levels) < len(mine) + (self._separator == "."):
                return False
            del levels[len(mine) :]
        single = SINGLE[self._separator]
        return len(mine) == len(levels) and all(
            a in (single, b) for a, b in zip(mine, levels, strict=True)
        )

    @property
    def expression(self) -> str:
        """The regular expression of its topics."""
        return self._expression.pattern

    def match(self, topic: str) -> dict[str, str] | None:
        """Return what the names stand for in a topic; None if it is none of these."""
        found = self._expression.fullmatch(topic)
        return None if found is None else found.groupdict()


def default_stream(pattern: TopicPattern) -> str:
    """Return how streams are named if nobody says so: by all names of the topic, or the topic."""
    names = [name for name in pattern.names if name != "input"]
    return "/".join(f"{{{name}}}" for name in names) or "{topic}"


def check_template(option: str, template: str, known: Sequence[str]) -> str:
    """Return a text with ``{name}`` in it, whose names are all known.

    Raises
    ------
    BadValueError
    """
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise BadValueError(f"{option}: {error}, in {shown(template)}") from None
    for name in names:
        if name not in known:
            raise BadValueError(
                f"{option}: expected names out of {', '.join(known)}, got {{{name}}} in "
                f"{shown(template)}"
            )
    return template


def fill(template: str, values: Mapping[str, str]) -> str:
    """Put values into a checked template."""
    return template.format_map(values)
