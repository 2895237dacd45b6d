"""Usual names of columns, in lower case."""

from __future__ import annotations

TIME_NAMES = (
    *("timestamp", "datetime", "time", "date", "ts", "date_time", "date time", "date/time"),
    *("datum", "zeit", "zeitstempel", "zeitpunkt", "uhrzeit", "fecha", "hora", "heure", "utc"),
)
"""Usual names of a time column, the most specific first."""

PART_NAMES = {
    "year": ("year", "yyyy", "yr", "jahr", "año", "année"),
    "month": ("month", "mon", "mo", "mm", "monat", "mes", "mois", "mnth"),
    "day": ("day", "dd", "tag", "dom", "mday", "día", "jour"),
    "hour": ("hour", "hr", "hh", "stunde", "hora", "heure"),
    "minute": ("minute", "min", "mi"),
    "second": ("second", "sec", "sekunde"),
    "clock": ("hhmm", "hhmmss", "time_hhmm", "clock"),
}
"""Usual names of columns that hold a part of the time."""
