"""The state of every stream, and what advances it: Engine, Stream, AsyncEngine."""
