"""Meaning of every number in the tables that the loop and Python share."""

# Counters, in one int64 array; only the thread of the loop writes.
(
    MESSAGES,  # received
    ANSWERS,  # replies passed to ZeroMQ
    PUBLICATIONS,
    DROPPED_ANSWERS,  # their receiver had disconnected, or did not read
    SUBSCRIBER_OVERFLOWS,  # times that the queue to a subscriber was full
    BUSY,  # replies `busy` because the queue was full
    HANDED_OVER,  # messages that Python answered
    BLOCKS,  # stepped
    QUEUED,  # messages in the queue now,
    QUEUED_BYTES,  # and their bytes
    QUEUE_PEAK,  # most messages that were ever in the queue
    SUBSCRIPTIONS,  # at present
    THROTTLED,  # messages refused or delayed because their account exceeded its rate
    TOPIC_BYTES,  # of the subscriptions at present
    CUT_SUBSCRIBERS,  # connections that were cut since they had too many subscriptions
    ALARM_TOPICS,  # those of the subscriptions that are for alarms alone,
    VALUE_TOPICS,  # and those for predictions with what came
    # What the online stage said (native/results.py).
    ALARMS,  # observations with an alarm
    FILLED,  # values that were missing
    ABSENT,  # observations without a prediction, since an input has not come for long
    JUDGED,  # values that came and had an interval forecast for them,
    COVERED,  # and how many were inside
    DRIFTS,  # observations with which forecasts were found to have become worse
    OWN_ERROR,  # sums of the errors of forecasts, and of persistence for the same values, in units
    NAIVE_ERROR,  # of the stream's usual one of persistence, as multiples of 1 / ERROR_UNIT
    MOVED,  # messages answered `moved`, since another worker of the fleet has their stream
) = range(26)
ERROR_UNIT = 1_000_000

# Histograms follow the counters: for each the sum of its values, then the count of each bucket.
LATENCY = 26  # ns from the receipt of a message that was stepped to its reply
HISTOGRAM = 64  # cells reserved for one
STEP_TIME = LATENCY + HISTOGRAM  # ns that the arithmetic of a block takes
BLOCK_SIZE = STEP_TIME + HISTOGRAM  # observations in a block
COUNTS_SIZE = BLOCK_SIZE + HISTOGRAM

# Two buckets an octave: bucket b ends below (2 + b % 2) * 2**(b // 2 - 1) of the unit below. The
# last one takes all larger values.
BUCKETS = 56
TIME_UNIT = 8  # times are counted in units of 2**8 ns, sizes in ones

# The loop's own table.
(
    # Addresses of functions of C and libzmq.
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
    RANDOM,
    ROUTER,  # addresses of sockets
    PULL,
    XPUB,
    POLL_ITEMS,  # address of struct pollfd[4]: ROUTER, PULL, XPUB, wakeup; POLL_ITEM bytes each
    ADDRESS,  # of this table,
    RECEIVE_READY,  # and of the functions that receive messages (admission.py)
    TAKE_MESSAGE,  # and make rows of one (block.py)
    OPTION,  # address of room for an option and its size
    TIMESPEC,  # address of room for a struct timespec
    TABLE,  # addresses of the heads of the tables of streams and clients (kernels/id_index.py)
    CLIENTS,
    SPARE_TEXTS,  # address of room that the texts of the table of clients are compacted into
    LINKS,  # address of int64[clients + 1, LINK]: messages of each client, of PULL last
    TASK,  # address of the backend's task (kernels/layout.py)
    SHARE_WORK,  # multiply-adds for each thread that make it worth to share a block
    ROW_WORK,  # multiply-adds of a row
    THREADS,
    COUNTS,  # address of the counters
    SCRATCH,  # addresses of room for one message with all its frames, for its head,
    HEAD,
    REPLY,  # and for one reply
    BUSY_WORDS,  # address and size of code and sentence of a `busy` reply, packed
    BUSY_SIZE,
    RECORDS,  # address of uint8[messages, RECORD]
    BATCH,  # address of int64[rows, BATCH_ROW], messages of the block
    ROWS,  # address of int64[rows, ROW], observations of the block
    ORDER,  # addresses of int64[rows], and of int64[rows + 1]: where each round begins
    STARTS,
    SLOTS,  # addresses of the block's arrays, and of the same sorted by round
    X,
    Y,
    SLOTS_SORTED,
    X_SORTED,
    Y_SORTED,
    # Limits.
    MAX_MESSAGES,
    MAX_BYTES,
    MAX_FRAME,  # bytes of a frame that are received
    MAX_SIZE,  # bytes of a message that is decoded
    SPIN,  # ns to poll for messages before sleeping
    UNTIL,  # time at which the loop returns to Python
    CLOSED,  # 1: receive nothing more, and return when the queue is empty
    # State.
    NOW,
    FREE,  # address of the first free record
    USED,  # records that were ever used
    HEAP,  # address of int64[clients + 1]: clients that have a message (native/order.py)
    HEAP_SIZE,
    VIRTUAL_NOW,  # virtual time of the message in service
    HANDED_RECORD,  # address of the record that Python answers
    HANDED_TIME,  # ns that Python took for it
    FIRST_ROUND,  # the table's number of the block's first round
    LAST_ROUND,  # highest round of the block
    TAKEN_ROWS,  # rows of the message that was taken last, or why it was not
    ONCE_FROM,  # rows of the block from this one on may be of streams only that it does not have
    PACE,  # ns a message takes, moving average
    FAILED,  # errno of the failure that stopped the loop
    LAST_MESSAGE,  # time of the last receipt
    LAST_POLL,  # time of the last poll
    READABLE,  # bits of the sockets, by position in POLL_ITEMS, that may have a message
    SEND_BUDGET,  # ns for which the loop may still wait for full queues to clients
    MANY,  # 1 if the message decoded last is a STEPS,
    NUMBERED,  # and 1 if it has sequence numbers
    # For CURVE (serving/access/authenticator.py), and for rate limits without it.
    MESSAGE_OBJECT,  # address of a zmq_msg_t, 0 where nobody asks who the sender is
    RECEIVE_MESSAGE,  # addresses of functions of libzmq
    DATA_OF,
    PROPERTY_OF,
    USER_ID,  # address of the name of the property that identifies the sender
    STORED,  # 1 if a stream that is not in memory may be in the store, which Python reads
    RECEIVED,  # observations received from the client of the message that Python answers
    CLIENT_HAND,  # the client at which the search for one to evict goes on
    # For rate limits (native/rate.py).
    ACCOUNTS,  # address of the head of the table of accounts, 0 without limits
    SPARE_NAMES,  # address of room that its texts are compacted into
    ACCOUNT_HAND,  # the account at which the search for one to evict goes on
    INTERVAL,  # ns that an observation takes of its account's time, 0 without a limit
    USER,  # address of that property of the message in the scratch, 0 if it has none
    RATE_WORDS,  # address and size of code and sentence of the reply to one above its rate, packed
    RATE_SIZE,
    LAST_THROTTLED,  # account
    DRAIN_UNTIL,  # time until which a loop that stops waits for full queues to clients; 0 before
    PRODUCER,  # of the message decoded last, if it has numbers; 0 if it names none
    SUBSCRIBED,  # 1 if there are subscriptions, or their ends, for Python to read
    # For large replies (native/large.py).
    INIT_MESSAGE,  # addresses of functions of libzmq
    SEND_MESSAGE,
    CLOSE_MESSAGE,
    COUNT_UP,
    LARGE_MESSAGE,  # address of a zmq_msg_t
    HELD,  # address of int64[MAX_HELD, HELD_REPLY], large replies that libzmq holds,
    HELD_COUNT,  # their number and bytes
    HELD_BYTES,
    BY_ADDRESS,  # 1 if USER is the address of the sender's machine, not a user id
    ACCOUNT_NAME,  # address of uint8[MAX_IDENTITY]: whose account is charged for the message
    ADDRESS_SIZE,  # bytes of the address that it begins with
    REFUSED_ROW,  # of the STEPS that Python answers, the row refused for its number; -1: not known
    REFUSED_COUNT,  # and how many rows it has
    # For an online stage.
    TIMES,  # addresses of the block's event times, and of the same sorted by round
    TIMES_SORTED,
    EXTRAS,  # address of int64[extras, EXTRA]: what predictions say beside y, 0 for nothing
    EXTRA_COUNT,
    RUNS,  # address of int64[runs, RUN]: the map of a PREDICTION
    RUN_COUNT,
    PATCHES,  # address of int64[patches, PATCH]: those of all runs
    WORDS,  # address of uint8[words, WORD]: each its size and its bytes
    LEVELS,  # address and size of the map's head and levels in a PREDICTIONS
    LEVELS_SIZE,
    # For a model with offsets.
    INPUT_OFFSETS,  # address of float64[2, F], 0 if there are none: see reader.read_vector
    OUTPUT_OFFSETS,  # address of float64[O, levels or 1], 0 if there are none
    OUTPUT_COUNT,  # O
    OUTPUT_LEVEL,  # place in a result of what is added to the outputs besides, 0 for none
    # For a worker of a fleet.
    STATES,  # address of uint8[partitions], ELSEWHERE, HERE or ARRIVING; 0 outside of a fleet;
    # behind it stand uint32[partitions], observations of each that were taken
    OWNERS,  # address of int64[partitions, OWNER]
    MOVED_WORDS,  # address and size of code and sentence of a `moved` reply, packed,
    MOVED_SIZE,
    ARRIVING_WORDS,  # and of a `busy` reply about a partition that is on its way to this worker
    ARRIVING_SIZE,
    MOVED_ID,  # of the row that is answered with one of these,
    MOVED_LENGTH,
    MOVED_SEQ,
    MOVED_PARTITION,
    MOVED_COUNT,  # and how many rows its message has
    JUMPS,  # address of int64[rows, JUMP]: sparse numbers of the block that leave some out
) = range(130)
LOOP = 136

# What a worker of a fleet has of a partition, and who owns it: the epoch, and address and size of
# the endpoint of the owner's ROUTER.
PARTITIONS = 1024  # as wire.PARTITIONS
ELSEWHERE, HERE, ARRIVING = range(3)
EPOCH, OWNER_AT, OWNER_SIZE, OWNER = range(4)
ARRIVING_MS = 5  # to wait for a partition that is on its way

POLL_ITEM = 8

# A record: a message in the queue. Its bytes are contiguous, identity and envelope before the
# message itself: behind this head where there is room, or else in memory of their own.
(
    NEXT,  # address of the same client's next record, or of the next free one
    CLIENT,  # number; MAX_MESSAGES for the PULL socket
    DATA,  # address of the bytes
    OWNED,  # 1 if they have memory of their own
    IDENTITY_SIZE,
    FRAMES,  # frames of the envelope that were stored
    FRAME_SIZES,  # a byte for each
    FRAMES_RECEIVED,  # frames before the message, stored or not,
    LONGEST,  # and bytes of the longest
    MESSAGE,  # address
    SIZE,  # bytes received, of which no more than MAX_FRAME are stored
    CHARGED,  # bytes charged to its client
    TAKEN,  # time of receipt
    ROLE,  # first byte of the sender's user id, 0 if it has none; MAY_ALL without CURVE
    ACCOUNT,  # slot in the table of accounts, where there is one
) = range(15)
RECORD_HEAD = 15 * 8
RECORD = 512

# A client in the queue: its first and last record, and its virtual time (native/order.py). The PULL
# socket has no row in the table of clients; its messages and bytes are counted here.
FIRST, LAST, VIRTUAL_TIME, PULL_MESSAGES, PULL_BYTES = range(5)
LINK = 8  # a cache line

# A large reply that libzmq holds: its bytes, their number, its client, and its first four bytes.
HELD_ADDRESS, HELD_SIZE, HELD_CLIENT, HELD_WORD, HELD_REPLY = range(5)
MAX_HELD = 1_024
LARGE = 2**15  # bytes of a reply above which it is one

# A message of the block: its record, its first row, its number of rows, whether it is a STEPS, and
# whether that has sequence numbers.
BATCH_RECORD, BATCH_FIRST, BATCH_COUNT, BATCH_MANY, BATCH_NUMBERED, BATCH_ROW = range(6)

# A row of the block: the id, or the address of its text; the length of the text, 0 for an integer;
# the sequence number; the round, which is how many rows of the block the stream has before.
ID, LENGTH, SEQ, ROUND, ROW = range(5)

# A row whose sparse number leaves some out: the block, the slot, and the number before.
JUMP_BASE, JUMP_SLOT, JUMP_FROM, JUMP = range(4)

# An extra of PREDICTIONS (wire/extras.py): address and size of its key, how it is written, where
# its numbers begin in a result and how many they are.
KEY_AT, KEY_SIZE, EXTRA_WHAT, EXTRA_START, EXTRA_COUNTED, EXTRA = range(6)

# A run of PREDICTION: address and size of its bytes, how many numbers are put into them, and how
# the extra that follows is written (below 0 if none does). A patch: a place in the run, how the
# number is put there, and where it stands in a result, in bytes.
RUN_AT, RUN_SIZE, RUN_PATCHES, RUN_WHAT, RUN_START, RUN_COUNTED, RUN = range(7)
PATCH_PLACE, PATCH_WHAT, PATCH_SOURCE, PATCH = range(4)
WORD = 32

MAY_ALL, MAY_STEP, MAY_READ = ord("A"), ord("P"), ord("R")  # roles (serving/access/roles.py)

STEP, STEPS, LAST_SEQS, PREDICTION, PREDICTIONS, DONE, ERROR = 1, 2, 10, 129, 130, 131, 255
# Before the topic of a prediction that has an alarm, or what came (wire/messages.py).
ALARM_TOPIC, VALUE_TOPIC = int.from_bytes(b"\0alarm/"), int.from_bytes(b"\0value/")
BEFORE_TOPIC = 7  # bytes of each
MAX_ENVELOPE, MAX_ENVELOPE_BYTES = 8, 255
MAX_IDENTITY = 255
PRODUCER_MAGIC = int.from_bytes(b"PRD\x01", "little")  # in the last frame of an envelope, then
PRODUCER_FRAME = 12  # the identity (wire/producers.py), so that the frame has so many bytes or more
MAX_ACCOUNTS = 16_384
MAX_ADDRESS = 64  # bytes of an address of a machine in the name of an account
PULL_ACCOUNT = 0  # shared by all publishers at the PULL socket
BURST = 1_000_000_000  # ns that an account may be ahead of its rate
MAX_ROWS = 16_384  # of a STEPS, and elements of any array
BLOCK = 256  # rows at which a block is full
BLOCK_ROOM = BLOCK + MAX_ROWS

# Why the loop returns to Python.
TICK, WOKEN, HAND_OVER, NEEDS_ROOM, STOPPED = range(5)
