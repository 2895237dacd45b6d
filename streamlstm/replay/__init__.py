"""What a ReplayingPublisher is made of: what it keeps, its journal, its connection, its thread."""
