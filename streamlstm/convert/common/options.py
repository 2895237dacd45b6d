"""Options of a model: those of the caller, and those that the file sets."""

from collections.abc import Mapping
from typing import Any

CATEGORIES = "categories"  # metadata: columns of an observation that are whole numbers, "3: 7"
_RESERVED = ("source", "notes", "compared", CATEGORIES)  # keys that ModelBuilder sets


def merge_options(
    options: Mapping[str, Any], metadata: Mapping[str, str] | None = None, **found: Any
) -> dict[str, Any]:
    """Return the options of a model; those of the caller override those of the file.

    Parameters
    ----------
    options : mapping
        Options of the caller, as :class:`streamlstm.Model` takes them.
    metadata : mapping of str to str, optional
        Metadata of the file; the caller's is added to it.
    **found
        Other options of the file.
    """
    merged = {**(metadata or {}), **(options.get("metadata") or {})}
    if "skip" in options:
        found.pop("skip_scale", None)  # it belongs to the skip of the file
    return {**found, **options, "metadata": merged}


def categories_of(metadata: Mapping[str, str]) -> dict[int, int]:
    """Return the columns of an observation that are whole numbers, and how many of these."""
    entries = (entry.split(":") for entry in metadata.get(CATEGORIES, "").split(",") if entry)
    return {int(column): int(count) for column, count in entries}


def text_metadata(values: Any) -> dict[str, str]:
    """Return the plain values of a mapping as text, for the metadata of a model.

    Reserved keys get the prefix ``file.``: AIDA-X uses ``source`` for what was recorded, not for
    the framework.
    """
    if not isinstance(values, dict):
        return {}
    plain = {
        key: str(value) for key, value in values.items() if isinstance(value, str | int | float)
    }
    return {f"file.{key}" if key in _RESERVED else key: value for key, value in plain.items()}
