"""Training for classes: of each row (a label), or of the next row (a category)."""
