"""Conversion of the JSON of RTNeural, AIDA-X and GuitarML."""
