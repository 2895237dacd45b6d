"""Many workers that serve one model together: who has which partition, and how that changes."""
