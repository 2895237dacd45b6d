"""Which module speaks to which broker, and what it needs installed."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from ..errors import StreamLSTMError

_CLIENTS = {"mqtt": "paho", "kafka": "confluent_kafka", "nats": "nats"}
_PACKAGES = {"mqtt": "paho-mqtt", "kafka": "confluent-kafka", "nats": "nats-py"}
_CLASSES = {"mqtt": "Mqtt", "kafka": "Kafka", "nats": "Nats"}


def load(broker: str) -> tuple[ModuleType, type]:
    """Return the module of a broker and its class.

    Raises
    ------
    StreamLSTMError
        If the broker's client is not installed.
    """
    try:
        import_module(_CLIENTS[broker])
    except ImportError:
        raise StreamLSTMError(
            f"a bridge to {broker} needs its client: pip install {_PACKAGES[broker]}"
        ) from None
    module = import_module(f".{broker}", __package__)
    return module, getattr(module, _CLASSES[broker])
