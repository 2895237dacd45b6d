"""The report of an evaluation: one HTML file with tables, sentences and plots."""

from .page import report, write_report

__all__ = ["report", "write_report"]
