"""A worker's part in a reload of its fleet: it prepares a model, and switches when it is told.

No worker switches before all have prepared: a model that one of them refuses changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import wire
from ..errors import ModelError, StreamLSTMError
from .reload import BusyError

if TYPE_CHECKING:
    from .response import Response
    from .service import Service

WANTED, PREPARED, REFUSED, DONE = "wanted", "prepared", "refused", "done"


class FleetReload:
    """Prepares and switches a worker's model as the supervisor says.

    Parameters
    ----------
    service : Service
    tell : callable
        Sends the supervisor the number of a reload, how far it is (PREPARED, REFUSED or DONE), and
        the model's fingerprint, a sentence, or what a reply to RELOAD says; or, WANTED, that a
        client asks for one.
    folder : Path
        Of the fleet on this machine, in which models are.
    """

    def __init__(
        self, service: Service, tell: Callable[[int, str, Any], None], folder: Path
    ) -> None:
        self._reloader, self._tell, self._folder = service.reloader, tell, folder
        self._refuse = service.refuse_reload
        self._answer: Response | None = None
        self._held: Response | None = None  # until all workers have switched
        service.reload_fleet = self._want
        self._wanted = False  # by a client, which waits for the response
        self._number = 0  # of the reload under way, 0 if there is none
        self._said = False
        self._next: tuple[int, bool, str] | None = None  # waits until that has been cancelled
        self.commands: dict[str, Callable[..., None]] = {
            "prepare": self._prepare,
            "switch": self._switch,
            "cancel": self._cancel,
            "no-reload": self._no_reload,
            "reloaded": self._reloaded,
            "forget-reload": self._forget,
        }

    def _want(self, anew: bool) -> None:
        if self._wanted:
            raise BusyError("reload: another one is under way; ask again when it is done.")
        self._wanted = True
        self._tell(0, WANTED, anew)

    def _prepare(self, number: int, anew: bool, file: str) -> None:
        if self._number:
            self._next = number, anew, file
            return
        try:
            self._reloader.begin(anew, self._folder / file, hold=True)
        except StreamLSTMError as error:
            self._tell(number, REFUSED, str(error))
        else:
            self._number, self._said = number, False

    def _switch(self, number: int) -> None:
        if number == self._number:
            self._reloader.release()

    def _cancel(self, number: int, reason: str) -> None:
        if number == self._number:
            self._reloader.cancel(reason)
        elif self._next is not None and number == self._next[0]:
            self._next = None

    def _forget(self, reason: str) -> None:
        """Give up a change of a supervisor that is none any more, unless it is done here."""
        self._next = None
        if self._number:
            self._reloader.cancel(reason)
        elif self._held is not None:
            self._reloaded()
        elif self._wanted:
            self._no_reload(reason)

    def _no_reload(self, reason: str) -> None:
        """Let a client that has asked know that the fleet does not change its model."""
        self._answer = self._refuse(ModelError(reason))

    def _reloaded(self) -> None:
        self._answer, self._held = self._held, None

    def answer(self) -> Response | None:
        """Return, once, the response to a RELOAD of a client, when the fleet has done it or not."""
        answer, self._answer = self._answer, None
        self._wanted = self._wanted and answer is None
        return answer

    def turn(self, response: Response | None) -> None:
        """Tell what is new; ``response`` is that to a reload which has come to its end."""
        if not self._number:
            return
        if response is not None:
            reply = wire.decode_reply(response.reply)
            refused = isinstance(reply, wire.Error)
            said = reply.message if isinstance(reply, wire.Error) else getattr(reply, "value", None)
            self._tell(self._number, REFUSED if refused else DONE, said)
            self._number = 0
            if refused:
                self._answer = response
            else:
                self._held = response
            if self._next is not None:
                following, self._next = self._next, None
                self._prepare(*following)
        elif (fingerprint := self._reloader.prepared) and not self._said:
            self._said = True
            self._tell(self._number, PREPARED, fingerprint)
