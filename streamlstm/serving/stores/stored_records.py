"""Finds the records of streams wherever a worker has them besides its memory.

They are in its store. A worker of a fleet has some elsewhere as well: what a worker that has died
had, in that one's folder; and such as have come, and are not in the store yet.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...engine.records import RecordBatch
from ...errors import StoreError
from .adopted import Adopted
from .epochs import Epochs
from .outage import Outage
from .shared_store import SharedStore
from .store import Store


class StoredRecords:
    """The records of a store, and those that are elsewhere.

    Parameters
    ----------
    store : Store

    Attributes
    ----------
    epochs : Epochs or None
        Of the store's records; None where streams never restart.
    batch : RecordBatch
        Under way to the store; the streams that it deletes count as deleted.
    outage : Outage
        Of reading.
    adopted : list of Adopted
        Partitions with streams in other folders, which count only where the store has none.
    incoming : dict of bytes to bytes
        Records that go to the store with the next commit, without having been in memory.
    """

    epochs: Epochs | None
    batch: RecordBatch

    def __init__(self, store: Store) -> None:
        self._store = store
        self.outage = Outage("read", isinstance(store, SharedStore))
        self.adopted: list[Adopted] = []
        self.incoming: dict[bytes, bytes] = {}

    @property
    def is_out(self) -> bool:
        """True if reading has failed, and it is not yet time to try again."""
        return self.outage.error is not None and self.outage.retry_in() > 0

    def read(
        self, keys: Sequence[bytes], elsewhere: Sequence[Adopted]
    ) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
        """Return what the store has or will have of keys, and what is only elsewhere.

        Raises
        ------
        StoreError
            If something cannot be read.
        """
        if not keys:
            return {}, {}
        if self.is_out:
            assert self.outage.error is not None
            raise self.outage.error
        try:
            own = self._of_store(keys)
            others: dict[bytes, bytes] = {}
            for adopted in elsewhere:
                others |= adopted.get([key for key in keys if key not in own])
        except StoreError as error:
            self.outage.record(error)
            raise
        self.outage.end()
        return {k: self.decode(r) for k, r in own.items()}, others

    def _of_store(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        # In this order: what is not under way any more is in the store.
        coming = (self.incoming, self.batch.absorbed)
        records = self._store.get(keys)
        found = {k: r for k, r in zip(keys, records, strict=True) if r is not None}
        for these in coming:
            if these:
                found |= {key: these[key] for key in keys if key in these}
        return found

    def page(self, prefix: bytes, after: bytes, count: int) -> list[tuple[bytes, bytes]]:
        """Return the next streams of the store and of everywhere else."""
        coming = (self.incoming, self.batch.absorbed)
        page = self._store.page(prefix, after, count)
        if not (self.adopted or any(coming)):
            return page
        found: dict[bytes, bytes] = {}
        for adopted in self.adopted:
            found |= self.marked(adopted.page(prefix, after, count))
        found |= dict(page)
        for these in coming:
            found |= {k: r for k, r in these.items() if k > after and k.startswith(prefix)}
        return sorted(found.items())[:count]

    def decode(self, record: bytes) -> bytes:
        """Return a record of the store, of whatever epoch, as one of the model that runs."""
        return record if self.epochs is None else self.epochs.current(record)

    def marked(self, records: dict[bytes, bytes]) -> dict[bytes, bytes]:
        """Return records of the model that runs as the store has them."""
        if self.epochs is None:
            return records
        return {key: self.epochs.marked(record) for key, record in records.items()}
