"""Usual names of columns."""

from __future__ import annotations

TIME_NAMES = ("timestamp", "datetime", "time", "date", "ts")
"""Usual names of a time column, in lower case, the most specific first."""
