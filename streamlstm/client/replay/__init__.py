"""The publisher that replays: unacknowledged observations, their journal, the sending thread."""
