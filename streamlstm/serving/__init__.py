"""Processes: the service, the worker loop and its sockets."""
