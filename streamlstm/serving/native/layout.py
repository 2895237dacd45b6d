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
) = range(12)

# Histograms follow the counts: for each the sum of what was measured, then how many in each bucket.
LATENCY = 16  # ns from the taking of a message that was stepped to its answer
HISTOGRAM = 64  # room of one
STEP_TIME = LATENCY + HISTOGRAM  # ns that the arithmetic of a block takes
BLOCK_SIZE = STEP_TIME + HISTOGRAM  # observations in a block
COUNTS = BLOCK_SIZE + HISTOGRAM

# Two buckets an octave: bucket b ends below (2 + b % 2) * 2**(b // 2 - 1) of the unit below. The
# last one takes what is larger.
BUCKETS = 56
TIME_UNIT = 8  # times are counted in units of 2**8 ns, sizes in ones
