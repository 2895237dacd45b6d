"""Load from many clients in one thread of compiled code, and how long each reply took."""
