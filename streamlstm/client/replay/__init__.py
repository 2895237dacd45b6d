"""The replaying publisher: unconfirmed observations, their journal, and the thread that sends."""
