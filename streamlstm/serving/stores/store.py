"""Where streams are kept beside a worker's memory: what every store does, and which there are.

What a record holds stands in engine/dirty.py. Beside the streams a store has a header that
says in which format they are and of which model, so that the streams of another are never taken for
this one's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from ...backends.plan import prediction_place
from ...engine.carry_over import Place
from ...engine.dirty import FORMAT
from ...errors import StoreError
from ...network.compatibility import contract
from ...network.model import Model

# No stream's key: those that begin with a zero byte have nine.
HEADER_KEY = b"\0streamlstm"

FORMAT_OF_ERAS = FORMAT + 1  # where streams have begun anew: hashes may be of several eras
FORMATS = (FORMAT, FORMAT_OF_ERAS)


# Keys and records; may be gone through several times.
Pairs: TypeAlias = Iterable[tuple[bytes, bytes | memoryview]]


MAX_OTHERS = 8  # models before the last one that may still use a store


class Era(NamedTuple):
    """How records were written from one time that all streams began anew to the next (eras.py)."""

    number: int
    record_size: int  # bytes
    start: int = 0  # of the last prediction in a row,
    outputs: int = 0  # and how many numbers it has; 0 if that was not noted

    @property
    def place(self) -> Place:
        """Where the last prediction stands in a row."""
        return Place(self.start, self.outputs)


class Header(NamedTuple):
    """What a store is of.

    Attributes
    ----------
    model : str
        Fingerprint of the model whose worker opened it last, or is about to run it.
    record_size : int
        Bytes.
    format : int
    contract : str
        Equal for models whose streams can go on with each other's state; empty if not noted.
    start, outputs : int
        Of the last prediction in a row.
    others : tuple of str
        Fingerprints of models, the last first, whose workers may use the store as well: those that
        ran until the model was changed.
    era : int
        How often all streams have begun anew.
    earlier : tuple of Era
        Those before.
    """

    model: str
    record_size: int
    format: int = FORMAT
    contract: str = ""
    start: int = 0
    outputs: int = 0
    others: tuple[str, ...] = ()
    era: int = 0
    earlier: tuple[Era, ...] = ()

    @property
    def now(self) -> Era:
        """The era of records that are written."""
        return Era(self.era, self.record_size, self.start, self.outputs)

    def encode(self) -> bytes:
        """Return what a store keeps."""
        return json.dumps(self._asdict()).encode()

    def follows(self, before: Header) -> Header:
        """Return this header for a store whose streams go on from ``before``."""
        others = [m for m in (before.model, *before.others) if m != self.model]
        return self._replace(
            others=tuple(others[:MAX_OTHERS]),
            era=before.era,
            earlier=before.earlier,
            format=before.format,
        )

    def begins_anew(self, before: Header) -> Header:
        """Return this header for a store whose streams begin anew."""
        earlier = (*before.earlier, before.now)
        return self._replace(era=before.era + 1, earlier=earlier, format=FORMAT_OF_ERAS)

    def accept(self, found: bytes, place: str, other: str = "refuse") -> Header:
        """Return the header that a store is to have from now on, or raise.

        Parameters
        ----------
        found : bytes
            What the store keeps.
        place : str
            Of the store, for people.
        other : {"refuse", "keep", "anew"}
            What to do with streams of another model.

        Raises
        ------
        StoreError
            If it keeps the header of something else.
        """
        before = _decode(found, place)
        same = self.model in (before.model, *before.others)
        if not same and other == "anew":
            return self.begins_anew(before)
        if not same and (other != "keep" or before.contract != self.contract):
            raise StoreError(self._of_another(before, place))
        if before.record_size != self.record_size:
            raise StoreError(
                f"{place}: holds records of {before.record_size} bytes, this worker has "
                f"{self.record_size}; it was written on a processor with vectors of another width, "
                "and can be used on such a one only."
            )
        return self.follows(before)

    def _of_another(self, before: Header, place: str) -> str:
        said = (
            f"{place}: holds streams of the model {before.model[:8]}, this worker runs "
            f"{self.model[:8]}"
        )
        if before.contract == self.contract:
            return (
                f"{said}, of the same layout; let them go on with it (--other-model keep), or "
                "choose another place, or that model."
            )
        which = "whose layout is another" if before.contract else "and does not tell its layout"
        return (
            f"{said}, {which}; choose another place, or that model, or let all streams begin anew "
            "with --other-model anew."
        )


def _decode(found: bytes, place: str) -> Header:
    try:
        kept = json.loads(found)
        format = int(kept["format"])
        if format in FORMATS:
            return Header(
                str(kept["model"]),
                int(kept["record_size"]),
                format,
                str(kept.get("contract", "")),
                int(kept.get("start", 0)),
                int(kept.get("outputs", 0)),
                tuple(map(str, kept.get("others", ()))),
                int(kept.get("era", 0)),
                tuple(Era(*map(int, era)) for era in kept.get("earlier", ())),
            )
    except (ValueError, KeyError, TypeError):
        raise StoreError(
            f"{place}: expected a store of streamlstm, got something else; choose another place."
        ) from None
    raise StoreError(
        f"{place}: is of format {format}, this streamlstm reads "
        f"{' and '.join(map(str, FORMATS))}; choose another place, or the version that wrote it."
    )


def header_of(model: Model, record_size: int) -> Header:
    """Return the header of a new store for a model."""
    place = prediction_place(model)
    return Header(
        model.fingerprint,
        record_size,
        contract=contract(model),
        start=place.start,
        outputs=model.output_size,
    )


class Store(Protocol):
    """Keys and records of streams; every method may raise StoreError.

    Attributes
    ----------
    kind, place : str
        What it is and where, for people.
    shared : bool
        Whether others may write to it while it is open.
    emptied : bool
        Whether it was found empty by a commit, so that what was in it is to be written again.
    header : Header
        What it says that it is of.
    """

    kind: str
    place: str
    shared: bool
    emptied: bool
    header: Header

    def count(self) -> int:
        """Return how many streams it holds."""

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the record of each key, None where there is none."""

    def page(self, prefix: bytes, after: bytes, count: int) -> list[tuple[bytes, bytes]] | None:
        """Return the next streams in the order of their keys, with their records.

        Parameters
        ----------
        prefix : bytes
            Only keys that begin so.
        after : bytes
            The key behind which to begin; it need not exist.
        count : int
            How many at most.

        Returns
        -------
        list of (bytes, bytes) or None
            None if this store has no order, and cannot tell without going through all of them.
        """

    def commit(self, gone: Sequence[bytes], pairs: Pairs) -> None:
        """Remove streams, then write records; all of it or nothing."""

    def set_header(self, header: Header) -> None:
        """Say of what it is from now on; from any thread."""

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield key and record of every stream."""

    def close(self) -> None:
        """Let go of it."""


def open_store(where: str, header: Header, other: str = "refuse") -> Store:
    """Open the store that ``--store`` names, or make it.

    Parameters
    ----------
    where : str
        ``lmdb:PATH``, or ``redis://HOST:PORT/NUMBER`` (also ``rediss://`` and ``unix://``).
    header : Header
        What it must be of.
    other : {"refuse", "keep", "anew"}
        What to do with streams of another model: let them go on, if its layout is the same, or let
        them begin anew.

    Raises
    ------
    StoreError
        If there is no such kind of store, it cannot be opened, or it is of something else.
    """
    kind, _, path = where.partition(":")
    if kind == "lmdb" and path:
        from .lmdb import LmdbStore

        return LmdbStore(path, header, other)
    if kind in ("redis", "rediss", "unix"):
        from .redis import RedisStore

        return RedisStore(where, header, other)
    raise StoreError(f"--store: expected lmdb:PATH, redis://HOST:PORT or memory, got {where!r}.")
