"""The wire protocol, version 1: encodes and decodes messages, as docs/protocol.md specifies.

Only this package knows msgpack, and it enforces the limits of the protocol. Decoding any bytes
gives a message or raises :class:`ProtocolError`.

Vectors stay in their wire format, little-endian float32 in ``bytes``: a worker joins the vectors
of a batch into one array without creating an array for each. Those that came as numbers of full
precision are kept so beside it (:class:`Doubles`).
"""

from .control import Control, decode_control, encode_control, gateway_place
from .decoding import count_observations, decode_reply, decode_request, too_large
from .encoding import encode, encode_predictions, encode_words, with_values
from .extras import COUNT, FLAG, FLOATS, NUMBER, WIDE, WORD, Extra, Extras, pack_words
from .fleet_table import NOBODY, PARTITIONS, FleetTable, FleetWorker
from .messages import (
    ALARM_TOPIC,
    CODES,
    EVICTED,
    MAX_ENVELOPE,
    MAX_ENVELOPE_BYTES,
    MAX_ID_BYTES,
    MAX_LISTED,
    MAX_MESSAGE_BYTES,
    MAX_NONCE_BYTES,
    MAX_PORT,
    MAX_STREAMS,
    MAX_TEXT,
    MAX_UINT,
    PULL,
    ROUTER,
    VALUE_TOPIC,
    VERSION,
    XPUB,
    Barrier,
    Claim,
    Done,
    Error,
    Export,
    Forget,
    Import,
    Info,
    Kind,
    Label,
    Last,
    List,
    Nonce,
    Owner,
    Ping,
    Prediction,
    Predictions,
    Reload,
    Reply,
    Request,
    Reset,
    Step,
    Steps,
    StreamId,
    Table,
    alarm_topic,
    is_port,
    topic,
    value_topic,
)
from .plain import pack_plain, unpack_plain
from .producers import PRODUCER_MAGIC, envelope_of, producer_of
from .values import pack, unpack
from .vectors import (
    Doubles,
    from_floats,
    from_vector,
    join_vectors,
    rows_of,
    size_of,
    to_floats,
    to_vector,
)
