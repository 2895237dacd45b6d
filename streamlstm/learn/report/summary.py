"""The beginning of a report, which is also what a notebook shows of an evaluation."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from .class_page import about_classes
from .parts import paragraph
from .sentences import about_errors, overview
from .tables import error_table

if TYPE_CHECKING:
    from ..evaluation.evaluation import Evaluation

MOST = 12  # outputs that get sentences of their own


def summary(evaluation: Evaluation) -> str:
    """Return what was read, how good the model is, and the errors of each output, as HTML."""
    parts = [paragraph([overview(evaluation)])]
    parts += [f'<p class="note">{escape(note)}</p>' for note in evaluation.notes]
    if evaluation.classes is not None:
        parts.append(paragraph(about_classes(evaluation.classes)))
        return "\n".join(parts)
    parts += [paragraph(about_errors(evaluation, score)) for score in evaluation.totals[:MOST]]
    return "\n".join([*parts, error_table(evaluation.totals)])
