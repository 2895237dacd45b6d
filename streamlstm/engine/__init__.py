"""The engine: holds the state of every stream and steps it (Engine, Stream, AsyncEngine)."""
