"""The endpoints file of a fleet on Ray, which names the cluster through which agents are asked."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from streamlstm.fleet.on_ray.fleet import RayFleet


class RayFile(NamedTuple):
    """What a command needs to reach a fleet on Ray.

    Attributes
    ----------
    path : Path
        Of the endpoints file.
    address : str
        Of the cluster.
    place : str
        Of the fleet there.
    model : str or None
        The model file on the machine where it was started.
    """

    path: Path
    address: str
    place: str
    model: str | None

    def fleet(self) -> RayFleet:
        """Connect to the cluster."""
        from streamlstm.fleet.on_ray.cluster import connect

        _keep_stdout()
        return connect(self.address, self.place)

    def ask(self, *question: Any) -> dict[str, Any]:
        """Return the status of the fleet after a question; the file has it, too, for clients."""
        from streamlstm.fleet.endpoints import write_fleet
        from streamlstm.fleet.on_ray.file import control_of

        found = self.fleet().ask(*question)
        control = control_of(self.address, self.place)
        write_fleet(self.path, control, {"model": self.model, **found})
        return found

    def replace_model(self) -> bytes:
        """Send what the model file holds now to all machines; return what they had.

        Raises
        ------
        ModelError
            If the fleet has no model file, or it is not one now.
        """
        from streamlstm.errors import ModelError
        from streamlstm.network.model import Model

        if self.model is None:
            raise ModelError("reload: a detector never changes; this fleet has no model file.")
        Model.load(self.model)
        return self.fleet().replace_model(Path(self.model).read_bytes())


def ray_file(endpoints: Path) -> RayFile | None:
    """Return what a file says of a fleet on Ray; None if the fleet is none.

    Raises
    ------
    EndpointError
        If it is not the file of a fleet.
    """
    from streamlstm.fleet.endpoints import read_fleet
    from streamlstm.fleet.on_ray.file import SCHEME

    found = read_fleet(endpoints)
    control: str = found["fleet"]
    if not control.startswith(SCHEME):
        return None
    address, _, place = control.removeprefix(SCHEME).partition("/")
    return RayFile(endpoints, address, place, found["model"])


def _keep_stdout() -> None:
    """Keep stdout for results: what Ray's own code writes there goes to stderr from now on."""
    with suppress(OSError, ValueError):  # no file, as in a test
        if sys.stdout.fileno() == 1:
            sys.stdout.flush()
            sys.stdout = os.fdopen(os.dup(1), "w", buffering=1, encoding=sys.stdout.encoding)
            os.dup2(2, 1)
