"""The client of MQTT: paho's, but what ends its thread is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho


class Client(paho.Client):  # type: ignore[misc]  # it is Any to mypy
    """A client whose thread loses no exception.

    Attributes
    ----------
    on_failure : callable
        Gets the exception that has ended the thread.
    """

    on_failure: Callable[[Exception], object]

    def loop_forever(self, *args: Any, **options: Any) -> Any:
        """Run, in the thread, until the end."""
        try:
            return super().loop_forever(*args, **options)
        except Exception as error:
            self.on_failure(error)
            return paho.MQTT_ERR_UNKNOWN

    def close(self) -> None:
        """Disconnect, end the thread, and close what paho leaves to the garbage collector."""
        self.disconnect()
        self.loop_stop()
        self._reset_sockets()
