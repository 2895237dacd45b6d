"""Records the gates of a network over a series, and draws them."""

from .figure import draw
from .record import LayerRecord, Recording, record

__all__ = ["LayerRecord", "Recording", "draw", "record"]
