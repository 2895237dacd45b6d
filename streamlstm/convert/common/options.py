"""What a caller says of a model beside what its file says."""

from collections.abc import Mapping
from typing import Any


def merged(options: Mapping[str, Any], metadata: Mapping[str, str], **found: Any) -> dict[str, Any]:
    """Return what a model is built with: what the caller said, else what was found.

    Parameters
    ----------
    options : mapping
        Of the caller, as :class:`streamlstm.Model` takes them.
    metadata : mapping of str to str
        Of the file; the caller's is added to it.
    **found
        Of the file.
    """
    given = {**metadata, **(options.get("metadata") or {})}
    if "skip" in options:
        found.pop("skip_scale", None)  # it belongs to the skip of the file
    return {**found, **options, "metadata": given}
