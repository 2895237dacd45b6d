"""Executes requests on streams: RESET, EXPORT, IMPORT, FORGET, LAST and LIST."""

from __future__ import annotations

from .. import wire
from ..engine.engine import Engine
from .access.stream_quota import StreamQuota
from .residency import Residency
from .response import Response, done, stream_event
from .sessions import Session


class StreamRequests:
    """Executes requests on streams in memory and in the store.

    Parameters
    ----------
    engine : Engine
    residency : Residency
    quota : StreamQuota or None
        Of streams in memory, for each client.
    """

    def __init__(self, engine: Engine, residency: Residency, quota: StreamQuota | None) -> None:
        self._engine, self._residency, self._quota = engine, residency, quota

    def reset(self, stream: wire.StreamId, publish: bool) -> Response:
        """Reset a stream."""
        self._residency.load([stream], publish)
        self._engine.reset(stream)
        return stream_event(wire.Kind.RESET, stream, publish)

    def forget(self, stream: wire.StreamId, publish: bool) -> Response:
        """Delete a stream."""
        self._residency.load([stream], publish)
        self._engine.forget(stream)
        return stream_event(wire.Kind.FORGET, stream, publish)

    def export_stream(self, stream: wire.StreamId, publish: bool) -> Response:
        """Return a stream's state."""
        self._residency.load([stream], publish)
        return done(wire.Kind.EXPORT, stream, self._engine.export_stream(stream))

    def import_stream(
        self, stream: wire.StreamId, blob: bytes, session: Session | None, publish: bool
    ) -> Response:
        """Replace a stream's state, as far as its client may bring the stream into memory."""
        quota = self._quota
        account = None if session is None else session.account
        if quota is not None and account is not None and not quota.admit(account, [stream])[0]:
            raise quota.error(account, stream)
        try:
            # What the store has of it is restored first, so that it is known not to be there only.
            self._residency.load([stream], publish)
            self._engine.import_stream(stream, blob)
        finally:
            if quota is not None:
                quota.assign()
        return stream_event(wire.Kind.IMPORT, stream, publish)

    def last_seqs(self, streams: list[wire.StreamId]) -> Response:
        """Return last sequence numbers; streams that are in the store stay there."""
        seqs = self._engine.last_seqs(streams)
        if self._residency.stored is not None:
            stored = self._residency.stored.last_seqs(streams)
            seqs = [stored.get(s, seq) for s, seq in zip(streams, seqs, strict=True)]
        return done(wire.Kind.LAST, None, seqs)

    def list_streams(self, prefix: str | None, after: wire.StreamId | None, count: int) -> Response:
        """List streams in memory and in the store, in one order."""
        count = min(count, wire.MAX_LISTED)
        listed = self._engine.list_streams(prefix, after, count)
        if self._residency.stored is not None:
            until = listed[-1][0] if len(listed) == count > 0 else None
            listed += self._residency.stored.list_page(prefix, after, count, until)
            listed.sort(key=lambda entry: wire.topic(entry[0]))
        return done(wire.Kind.LIST, None, listed[:count])
