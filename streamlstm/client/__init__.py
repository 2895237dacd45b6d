"""The clients of a worker: Client, Publisher, Subscriber, their keys and connections."""
