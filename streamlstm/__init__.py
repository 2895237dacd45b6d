"""streamlstm: recurrent networks over live streams."""

__version__ = "0.1.0"
