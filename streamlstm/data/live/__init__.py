"""Live rows: each row of a file or pipe of CSV as soon as it is there, whatever comes between.

What cannot be used never ends the rows after it: it is told and passed over. Whether a row can be
used depends on the row, the header above it and the options alone, never on other rows: whoever
reads a source again from its beginning counts the same rows.
"""
