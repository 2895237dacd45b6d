"""What became of labels that came from outside."""

APPLIED, TOO_OLD, NOT_YET, TWICE = range(4)
