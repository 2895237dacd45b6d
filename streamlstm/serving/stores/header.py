"""The header of a store: in which format its records are, and of which model and epoch."""

from __future__ import annotations

import json
from typing import NamedTuple

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


MAX_OTHERS = 8  # models before the last one that may still use a store


class Era(NamedTuple):
    """How records were written between two times that all streams began anew (epochs.py)."""

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
