"""The header of a store: the format of its records, their model and epoch."""

from __future__ import annotations

import json
from typing import NamedTuple

from ...backends.plan import former_rows, prediction_place
from ...engine.last_prediction import PredictionSlice
from ...engine.records import FORMAT, HASH_SIZE, row_start
from ...errors import StoreError
from ...network.compatibility import compatibility_key
from ...network.model import Model

# Not the key of any stream: those that begin with a zero byte have nine.
HEADER_KEY = b"\0streamlstm"

# Of stores that are read. In 1 streams have never restarted, in 2 they may have; in both records
# have no producer. A store is of format 3 from when it is opened, its records as they change.
FORMATS = (1, 2, FORMAT)
_JSON_KEYS = {"compatibility": "contract", "epoch": "era"}  # where they differ from the names here


class Epoch(NamedTuple):
    """The layout of records that were written between two changes of it (epochs.py).

    It changes when all streams restart, then the number rises; and when a store of a former format
    is opened, then the number stays and streams continue.
    """

    number: int
    record_size: int  # bytes
    start: int = 0  # of the last prediction in a row,
    outputs: int = 0  # and how many numbers it has; 0 if that was not noted
    format: int = 1  # of the records

    @property
    def place(self) -> PredictionSlice:
        """The position of the last prediction in a row."""
        return PredictionSlice(self.start, self.outputs)

    @property
    def row_start(self) -> int:
        """Bytes before the row."""
        return row_start(self.format)

    @property
    def row_bytes(self) -> int:
        """Bytes of the row."""
        return self.record_size - self.row_start - HASH_SIZE


class Former(NamedTuple):
    """What the header of a store said whose rows are of a former version (plan.former_rows)."""

    compatibility: str
    row_bytes: int


class Header(NamedTuple):
    """The header of a store.

    Attributes
    ----------
    model : str
        Fingerprint of the model whose worker opened it last, or is about to run it.
    record_size : int
        Bytes.
    format : int
    compatibility : str
        Equal for models whose streams can continue with each other's state; empty if not noted.
    start, outputs : int
        First column and length of the last prediction in a row.
    others : tuple of str
        Fingerprints of models that may open the store as well: during a reload the one before.
    epoch : int
        How often all streams have restarted.
    earlier : tuple of Epoch
        Layouts of the records that were written before.
    formers : tuple of Former
        Of what is taken over; not stored.
    """

    model: str
    record_size: int
    format: int = FORMAT
    compatibility: str = ""
    start: int = 0
    outputs: int = 0
    others: tuple[str, ...] = ()
    epoch: int = 0
    earlier: tuple[Epoch, ...] = ()
    formers: tuple[Former, ...] = ()

    @property
    def now(self) -> Epoch:
        """The epoch of records that are written."""
        return Epoch(self.epoch, self.record_size, self.start, self.outputs, self.format)

    def encode(self) -> bytes:
        """Return the header as JSON."""
        fields = self._asdict()
        del fields["formers"]
        return json.dumps({_JSON_KEYS.get(name, name): v for name, v in fields.items()}).encode()

    def continued_from(self, before: Header) -> Header:
        """Return this header for a store whose streams continue from ``before``."""
        earlier = before.earlier
        if self._is_former(before):
            earlier += (before.now,)
        elif before.format != self.format:  # rows are the same, what stands beside them is not
            earlier += (before.now._replace(start=self.start, outputs=self.outputs),)
        others = () if before.model == self.model else (before.model,)
        return self._replace(others=others, epoch=before.epoch, earlier=earlier)

    def restarted_from(self, before: Header) -> Header:
        """Return this header for a store whose streams restart after ``before``."""
        earlier = (*before.earlier, before.now)
        return self._replace(epoch=before.epoch + 1, earlier=earlier)

    def accept(
        self, found: bytes, place: str, other: str = "refuse", is_empty: bool = False
    ) -> Header:
        """Return the header that a store must have from now on, or raise.

        Parameters
        ----------
        found : bytes
            The header in the store.
        place : str
            Place of the store, for messages.
        other : {"refuse", "keep", "anew"}
            What to do with streams of another model.
        is_empty : bool
            Whether the store holds no streams, and so is of no model yet.

        Raises
        ------
        StoreError
            If it is the header of something else.
        """
        before = decode_header(found, place)
        if is_empty:
            return self
        same = self.model in (before.model, *before.others)
        if not same and other == "anew":
            return self.restarted_from(before)
        if not same and (other != "keep" or not self._has_layout_of(before)):
            raise StoreError(self._of_another(before, place))
        if self._is_former(before):
            return self.continued_from(before)._replace(others=())
        if before.now.row_bytes != self.now.row_bytes:
            raise StoreError(
                f"{place}: holds rows of {before.now.row_bytes} bytes, this streamlstm has rows of "
                f"{self.now.row_bytes} for the same model; use the version that wrote it, or "
                "choose another place."
            )
        # No other worker uses it now, so only this one's model may use it further.
        return self.continued_from(before)._replace(others=())

    def _has_layout_of(self, before: Header) -> bool:
        return before.compatibility == self.compatibility or self._is_former(before)

    def _is_former(self, before: Header) -> bool:
        return (before.compatibility, before.now.row_bytes) in self.formers

    def _of_another(self, before: Header, place: str) -> str:
        said = (
            f"{place}: holds streams of the model {before.model[:8]}, this worker runs "
            f"{self.model[:8]}"
        )
        if self._has_layout_of(before):
            return (
                f"{said}, of the same layout; let them continue with it (--other-model keep), or "
                "choose another place, or that model."
            )
        which = "whose layout differs" if before.compatibility else "and does not tell its layout"
        return (
            f"{said}, {which}; choose another place, or that model, or let all streams restart "
            "with --other-model anew."
        )


def decode_header(found: bytes, place: str) -> Header:
    """Return the header of a store from its bytes; ``place`` is for messages.

    Raises
    ------
    StoreError
        If it is none, or of an unknown format.
    """
    try:
        fields = json.loads(found)
        format = int(fields["format"])
        if format in FORMATS:
            return Header(
                str(fields["model"]),
                int(fields["record_size"]),
                format,
                str(fields.get("contract", "")),
                int(fields.get("start", 0)),
                int(fields.get("outputs", 0)),
                tuple(map(str, fields.get("others", ()))),
                int(fields.get("era", 0)),
                tuple(Epoch(*map(int, epoch)) for epoch in fields.get("earlier", ())),
            )
    except (ValueError, KeyError, TypeError):
        raise StoreError(
            f"{place}: expected a store of streamlstm, got something else; choose another place."
        ) from None
    raise StoreError(
        f"{place}: is of format {format}, this streamlstm reads "
        f"{FORMATS[0]} to {FORMATS[-1]}; choose another place, or the version that wrote it."
    )


def header_of(model: Model, record_size: int) -> Header:
    """Return the header of a new store for a model."""
    place, formers = prediction_place(model), former_rows(model).items()
    return Header(
        model.fingerprint,
        record_size,
        compatibility=compatibility_key(model),
        start=place.start,
        outputs=model.output_size,
        formers=tuple(Former(compatibility_key(model, v), 4 * len(row)) for v, row in formers),
    )
