"""Meaning of every number in the tables of a gateway, which forwards requests to a fleet's workers.

Its clients, their sockets and the queue of their messages are in the table of layout.py; what the
workers and partitions are, and where each request is, stands in the tables here.
"""

# The gateway's own table.
(
    LOOP_AT,  # address of the table of layout.py
    FILES,  # address of struct pollfd[], FILE_COUNT of them, in the order of SOURCES below
    FILE_COUNT,
    XSUB,  # address of the socket that is subscribed to all workers,
    XSUB_READABLE,  # and 1 if it may have a message
    WORKERS,  # address of int64[MAX_WORKERS, WORKER]
    PARTITIONS,  # address of int64[partitions, PARTITION]
    SIDES,  # address of int64[messages, SIDE]: what is known of each record besides its head
    STIRRED,  # address of int64[partitions]: those whose requests the loop tries again
    STIRRED_COUNT,
    NUMBER,  # of the request that was sent on its way last
    REPLY_MESSAGE,  # address of a zmq_msg_t
    TICKET,  # address of room for the frame before a message to or from a worker
    DOUBT_WORDS,  # address and size of code and sentence of the reply to a request that was lost
    DOUBT_SIZE,
    # What Python has to deal with.
    HANDED_RECORD,  # address of the record of a request, or of one that has a reply; 0 for none
    HANDED_TICKET,  # of the reply
    HANDED_WORKER,  # whose it is
    HANDED_AT,  # and its bytes, which stay until the next call
    HANDED_SIZE,
    READ_KIND,  # of the message that was read last,
    READ_NUMBERED,  # and 1 if it is a numbered observation
) = range(22)
GATEWAY = 24

# Positions in FILES; the workers' sockets follow.
CONTROL, XSUB_FILE, FIRST_WORKER = 4, 5, 6  # behind ROUTER, PULL, XPUB and the wakeup
MAX_WORKERS = 256

# A worker.
(
    SOCKET,  # address of the DEALER; 0 if there is none
    SENT,  # requests that are there, without those of Python
    READABLE,  # 1 if the socket may have a reply
    ENDPOINT_AT,  # address and size of its endpoint
    ENDPOINT_SIZE,
) = range(5)
WORKER = 8
WINDOW = 400  # requests at a worker: ZeroMQ drops no reply while there are less than 500

# A partition.
(
    OWNER,  # number of its worker; -1 if it is not known
    EPOCH,
    IN_FLIGHT,  # requests that are at a worker
    PROVEN,  # 1 if the owner has answered since it became one
    FIRST_WAITING,  # addresses of the first and the last record that wait, 0 for none
    LAST_WAITING,
    RETRY_AT,  # time before which nothing is sent to it
    IS_STIRRED,  # 1 if it is in STIRRED
) = range(8)
PARTITION = 8

# What is known of a record besides its head.
(
    NEXT_WAITING,  # address of the next record that waits for the same partition
    OF_PARTITION,
    AT_WORKER,  # number of the worker where it is, and 1; 0 if it is at none
    ORDER,  # rises from request to request
    GENERATION,  # rises with each use of the record, so that no reply is taken for another's
    NUMBERED,  # 1 if it may be sent again although it may have been applied
    RESENT,  # 1 if it was
    ROWS_SENT,  # observations that are counted for a barrier
    NEXT_ANSWERED,  # address of the next record whose reply waits for that of this one
    HELD_AT,  # address and size of such a reply
    HELD_BYTES,
) = range(11)
SIDE = 12
TICKET_SHIFT = 20  # bits for the number of a record
OF_PYTHON = 63  # the bit of a ticket that says that Python has sent the message

# Further places of a client's row (layout.LINK). The first two are those of the PULL socket's
# messages, which has no replies.
FIRST_ANSWER, LAST_ANSWER = 3, 4  # records whose replies have to be sent in order
OUTSTANDING = 5  # requests that are not answered yet
STOPPED = 6  # why nothing is taken from the client: one of these, or 0
UNTIL_ROOM, UNTIL_QUIET, UNTIL_PYTHON = 1, 2, 3
MAX_OUTSTANDING = 256  # of a client: others of a worker do not wait for more

RETRY = 5_000_000  # ns after which a request is sent again to a worker that refused it oddly

# Why the loop returns to Python, beside TICK, WOKEN and STOPPED.
REQUEST, REPLY = 10, 11
