"""Networks in JSON: RTNeural, AIDA-X and GuitarML."""
