"""The meaning of every number in the tables that the loop and Python share."""

# What is counted, in one int64 array; only the thread of the loop writes.
(
    MESSAGES,  # taken from the doors
    ANSWERS,  # given to ZeroMQ
    PUBLICATIONS,
    DROPPED_ANSWERS,  # their receiver had gone, or did not read
    SUBSCRIBER_OVERFLOWS,  # times that a subscriber's queue was found full
    BUSY,  # answered so, since the queue was full
    HANDED_OVER,  # messages that Python answered
    BLOCKS,  # stepped
    QUEUED,  # messages that wait in the worker now,
    QUEUED_BYTES,  # and what they take
    QUEUE_PEAK,  # most messages that ever waited
    SUBSCRIPTIONS,  # that exist now
    THROTTLED,  # messages refused, or left waiting, since their client sent too many observations
) = range(13)

# Histograms follow the counts: for each the sum of what was measured, then how many in each bucket.
LATENCY = 16  # ns from the taking of a message that was stepped to its answer
HISTOGRAM = 64  # room of one
STEP_TIME = LATENCY + HISTOGRAM  # ns that the arithmetic of a block takes
BLOCK_SIZE = STEP_TIME + HISTOGRAM  # observations in a block
COUNTS_SIZE = BLOCK_SIZE + HISTOGRAM

# Two buckets an octave: bucket b ends below (2 + b % 2) * 2**(b // 2 - 1) of the unit below. The
# last one takes what is larger.
BUCKETS = 56
TIME_UNIT = 8  # times are counted in units of 2**8 ns, sizes in ones

# The loop's own table: addresses first, of C functions,
(
    RECEIVE,
    SEND,
    POLL,
    GET_OPTION,
    SET_OPTION,
    ERROR_NUMBER,
    CLOCK,
    ALLOCATE,
    RELEASE,
    SLEEP,
    ROUTER,  # of sockets,
    PULL,
    XPUB,
    FILES,  # of struct pollfd: router, pull, xpub and the wakeup, FILE bytes each
    OPTION,  # of room for an option and its size,
    MOMENT,  # of room for a struct timespec,
    TABLE,  # of the heads of the streams' table and of the clients' (kernels/id_index.py),
    CLIENTS,
    SPARE_TEXTS,  # of texts for the clients' table to move to,
    LINKS,  # of int64[clients + 1, LINK]: the messages of each client, of the pull door last,
    TASK,  # of the backend's task (kernels/layout.py),
    SHARE_WORK,  # (a number) multiply-adds of a row for each thread that a block may be shared to
    ROW_WORK,  # (a number) multiply-adds of a row
    THREADS,  # (a number)
    COUNTS,
    SCRATCH,  # of room for one message with all its frames, and for its head,
    HEAD,
    REPLY,  # and for one answer,
    BUSY_WORDS,  # of code and sentence of a `busy` answer, packed,
    BUSY_SIZE,
    RECORDS,  # of uint8[messages, RECORD]
    BATCH,  # of int64[rows, BATCH_ROW], messages of the block
    ROWS,  # of int64[rows, ROW], observations of the block
    ORDER,  # of int64[rows]; STARTS of int64[rows + 1]: where each round begins
    STARTS,
    SLOTS,  # of the block's arrays, and of the same in the order of rounds
    X,
    Y,
    SLOTS_SORTED,
    X_SORTED,
    Y_SORTED,
    # What bounds it.
    MAX_MESSAGES,
    MAX_BYTES,
    MAX_FRAME,  # bytes of a frame that is received
    MAX_SIZE,  # bytes of a message that is read
    SPIN,  # ns to look for messages before sleeping
    UNTIL,  # moment at which Python wants to look around
    CLOSED,  # 1: nothing is taken any more, and the loop ends when nothing waits
    # Where it stands.
    NOW,
    FREE,  # address of the first free record
    USED,  # records that were ever used
    FIRST_CLIENT,  # 1 + number of the client whose turn it is, 0 if none has a message
    LAST_CLIENT,
    DOOR,  # whose turn it is
    HANDED,  # address of the record that Python answers
    HIGHEST_TURN,  # how often a stream has come before in the block
    PACE,  # ns a message takes, of late
    FAILED,  # errno of what made it stop
    LAST_MESSAGE,  # moment
    LAST_LOOK,  # moment at which the wakeup was looked at
    FULL,  # bits of the doors, as they stand in FILES, that may have something
    PATIENCE,  # ns for which it may still wait for queues towards clients to empty
    MANY,  # 1 if the message that was read last is a STEPS,
    NUMBERED,  # and 1 if it has numbers
    # Where doors have locks (serving/access/authenticator.py): address of a zmq_msg_t, 0 without
    # locks,
    KNOWN,
    RECEIVE_KNOWN,  # of functions of libzmq,
    DATA_OF,
    PROPERTY_OF,
    USER_ID,  # and of the name of the property that tells who sent a message
    STORED,  # 1 if a stream that is not here may be in the store, which Python looks into
    RECEIVED,  # observations that came from the client of the message that Python answers
    HAND,  # the client that is looked at first when one has to be forgotten
    # Where a client's observations are limited (native/rate.py):
    ACCOUNTS,  # of the head of the table of accounts, 0 without limits,
    SPARE_NAMES,  # of texts for it to move to,
    ACCOUNT_HAND,  # the account that is looked at first when one has to be forgotten
    INTERVAL,  # ns that an observation takes of its client's time, 0 without a limit
    USER,  # of the user id of who sent the message in the scratch, 0 if it has none
    RATE_WORDS,  # of code and sentence of a `busy` answer to who is too quick, packed,
    RATE_SIZE,
    LAST_THROTTLED,  # account
    PATIENT_UNTIL,  # moment to which a loop that stops waits for those queues; 0 before
) = range(81)
LOOP = 96

FILE = 8

# A message that waits. Its bytes are one run: identity and envelope, then the message itself. They
# stand behind this head where there is room, or else in memory of their own.
(
    NEXT,  # address of the same client's next record, or of the next free one
    CLIENT,  # number; MAX_MESSAGES for the pull door
    DATA,  # address of the run
    OWNED,  # 1 if that memory is its own
    IDENTITY_SIZE,
    FRAMES,  # of the envelope that were kept,
    FRAME_SIZES,  # a byte for each
    FRAMES_CAME,  # before the message, kept or not,
    LONGEST,  # and bytes of the longest
    MESSAGE,  # address
    SIZE,  # bytes that came, of which no more than MAX_FRAME are here
    CHARGED,  # bytes that it counts for
    TAKEN,  # moment
    ROLE,  # first byte of the sender's user id, 0 if it has none; MAY_ALL where there are no locks
    ACCOUNT,  # slot in the table of accounts, where there is one
) = range(15)
RECORD_HEAD = 15 * 8
RECORD = 512

# Messages of a client that wait: first and last record, and 1 + the client whose turn comes next.
# The pull door has no line in the table of clients, and what it holds is counted here.
FIRST, LAST, NEXT_CLIENT, PULL_MESSAGES, PULL_BYTES, LINK = range(6)

# A message of the block: its record, its first row, how many rows it has, whether it is a STEPS,
# and whether that had numbers.
BATCH_RECORD, BATCH_FIRST, BATCH_COUNT, BATCH_MANY, BATCH_NUMBERED, BATCH_ROW = range(6)

# A row of the block: the id, or the address of its text; the text's length, 0 for an integer; the
# number; and how often the stream has come before in the block.
ID, LENGTH, SEQ, TURN, ROW = range(5)

MAY_ALL, MAY_STEP = ord("A"), ord("P")  # roles whose STEP and STEPS the loop answers

STEP, STEPS, PREDICTION, PREDICTIONS, ERROR = 1, 2, 129, 130, 255
MAX_ENVELOPE, MAX_ENVELOPE_BYTES = 8, 255
MAX_IDENTITY = 255
MAX_ACCOUNTS = 16_384
PULL_ACCOUNT = 0  # of all who feed together; those who ask have the others
BURST = 1_000_000_000  # ns that a client may be ahead of its rate
MAX_ROWS = 16_384  # in a STEPS, and elements in any array
BLOCK = 256  # rows after which a block is stepped
BLOCK_ROOM = BLOCK + MAX_ROWS

# How the loop comes back to Python.
TICK, WOKEN, HAND_OVER, NEEDS_ROOM, STOPPED = range(5)
