"""The worker process: its service, its loop and its sockets."""
