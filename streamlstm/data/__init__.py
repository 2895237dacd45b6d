"""Tables in: CSV files, and samples of this machine."""
