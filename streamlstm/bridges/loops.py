"""Topics that cannot be published to, and loops: a bridge must not read what it publishes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import BadValueError, shown
from .mapping import stream_of
from .predictions import template_of
from .settings import Settings
from .topics import TopicPattern, fill

# What a broker lets be published to, by the separator of its levels.
_TARGETS = {
    "/": (re.compile(r"[^+#\0]+"), "without + and #"),
    ".": (re.compile(r"(?!.*(^|\.)[*>](\.|$))[^\s.]+(\.[^\s.]+)*"), "without spaces, * and >"),
    "": (re.compile(r"[a-zA-Z0-9._-]{1,249}"), "of letters of ASCII, digits, dots, _ and -"),
}


def check_topics(settings: Settings, separator: str, more_names: Sequence[str] = ()) -> None:
    """Refuse topics that mean nothing, and those that a bridge would read and publish to.

    Raises
    ------
    BadValueError
    """
    patterns = [TopicPattern(topic, separator) for topic in settings.topics]
    streams = {_example(settings, each, more_names) for each in patterns}
    targets = {("dead-letter", settings.dead_letter, settings.dead_letter)}
    for option in ("out", "alarms"):
        template = template_of(settings, option)
        targets |= {(option, template, fill(template, {"stream": each})) for each in streams}
    if settings.home_assistant:
        targets.add(("home-assistant", settings.home_assistant, settings.home_assistant))
    allowed, words = _TARGETS[separator]
    for option, said, topic in sorted(targets):
        if topic and not allowed.fullmatch(topic):
            raise BadValueError(f"--{option}: expected a topic {words}, got {shown(said)}")
        for pattern, text in zip(patterns, settings.topics, strict=True):
            if topic and pattern.receives(topic):
                raise BadValueError(
                    f"--{option}: expected a topic that --in does not read, got {shown(said)}, "
                    f"which {shown(text)} reads: what is published there would come back without "
                    "end"
                )


def _example(settings: Settings, pattern: TopicPattern, more_names: Sequence[str]) -> str:
    """Return the name of a stream as messages of a pattern may make it."""
    names = dict.fromkeys([*pattern.names, "key", *more_names], "0")
    return fill(stream_of(settings, pattern, more_names), {**names, "topic": pattern.example})
