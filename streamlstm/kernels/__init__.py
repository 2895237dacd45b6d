"""Arrays in, arrays out: no ids, no objects, no I/O."""
