"""What talks to a worker: Client, Publisher, Subscriber, their keys and connections."""
