"""Tries several settings and keeps the best: successive halving in processes of their own."""
