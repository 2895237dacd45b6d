"""Looking inside: record what the gates of a network do over a series, and draw it."""

from .figure import draw
from .record import LayerRecord, Recording, record

__all__ = ["LayerRecord", "Recording", "draw", "record"]
