"""Meaning of every number in the integer tables that the kernels read, and the list of activations.

One compiled kernel serves every model. What differs between models is in one int64 array, the
program: a header, one row a layer, and the skip indices. Offsets point into the model's weight
block.
"""

# Header.
INPUTS, OUTPUTS, LAYERS, ROW_SIZE, INPUT_SCALING, OUTPUT_SCALING, SKIP, STRIDE, WORKSPACE = range(9)
SKIP_SCALE = 9  # offset of the factor of each input that is added to an output
CATEGORIES = 10  # number of categories of the first input; 0 if it is numeric
PREDICTION = 11  # offset in a state row of the result of the last numbered observation
RESULT = 12  # W, floats in a result: the outputs, and what the online stage says
FILLS = 13  # 1 if the online stage fills missing inputs, so that NaN is a valid value
STAGE = 14  # offset of the table of the online stage (online/layout.py), 0 if there is none
TIMED = 15  # 1 if an observation has to have an event time
WIDTH = 16  # floats of an observation: the inputs, and a second one of each counter among them
HEADER = 17

# One row a layer, after the header.
(
    KIND,
    LAYER_INPUTS,
    LAYER_OUTPUTS,
    UNITS,  # hidden units, or categories of an embedding
    WEIGHTS,  # offset of packed panels
    HIDDEN,  # offsets of h and c in a state row
    CELL,
    ACTIVATION,  # codes: of the layer, or of gates, candidate and cell
    CANDIDATE_ACTIVATION,
    CELL_ACTIVATION,
    CONSTANTS,  # offset of the layer's constants, below
    VECTORS,  # offset of padded vectors: scale and shift, or the table of an embedding
    PEEPHOLE,  # offset, of zeros where the layer has none
    NORM,  # offsets, -1 where the layer has none
    PROJECTION,
    COUPLED,
    STANDARD,  # 1: gates are sigmoid or hard sigmoid, candidate and cell tanh
    WEIGHTS_16_BITS,  # offset of panels with weights of 16 bits, for a single stream
    # Of the row of a window, which stands before those of its layers (window.py):
    WINDOW_ROWS,  # T
    WINDOW_PLACE,  # offset in a state row of two counters and a ring of T inputs
    WINDOW_LAYERS,  # how many layers there are, and how many of them run at every step of a window
    WINDOW_RECURRENT,
    WINDOW_INITIAL,  # offset of the initial states of all layers, and how many floats they are
    WINDOW_STATE,
    WINDOW_START,  # what happens before T rows have come, below
    # Of a window whose layers run over all of its rows, one after the other (whole_window.py):
    STAGES,  # offset in the program of what stands for each layer, STAGE_SIZE apart
    SEQUENCE_SIZE,  # floats of the largest sequence of one stream between two layers
    SEQUENCE_STREAMS,  # streams that go through the layers together
    SEQUENCE_FLOATS,  # floats of scratch, at its end
    SEQUENCE_OUT,  # floats from one row to the next of the last sequence
    SEQUENCE_LEAST,  # the fewest rows from which there is an answer
) = range(31)
ROW = 32

# A stage: a header, of which STRIDE and ROW_SIZE are read, and two rows; the second is that of the
# layer that runs backwards. Its kernels see this as their program. In the columns of a window:
(
    ROWS_IN,  # floats from one row of a sequence to the next
    ROWS_OUT,
    ROWS_SIZE,  # rows that become one, 0 for all; rows that go out
    ROWS_STEP,
    ROWS_DILATION,
    ROWS_BEFORE,  # rows of padding
    ROWS_AFTER,
    ROWS_MODE,  # what is done with rows; how two directions are merged; below
    ROWS_FLAG,  # 1: padding counts; the query is appended; a recurrent layer returns one row
    ROWS_ZERO,  # 1: the initial state of a recurrent layer is zero
) = range(18, 28)
# Of attention: heads, the widths of the key and of the value of one, and where they begin.
HEADS, KEY_SIZE, VALUE_SIZE, KEYS_AT, VALUES_AT, CAUSAL = (*range(20, 25), UNITS)
STAGE_SIZE = HEADER + 2 * ROW

# Of a fork, whose branches are merged (parallel.py), in its row; how is said by ROWS_MODE, below.
BRANCHES = 27  # how many
BRANCH_TABLE = 28  # where the table of branches begins, from the row on
# Where there is room for two sequences, in floats before the end of the scratch; or, step by step,
# for two rows of each stream of a group, in floats of one stream behind ROWS_AT.
BRANCH_ROOM = 29
BRANCH_SEQUENCE = 30  # floats from the first of these sequences to the second
# A line of the table: how many layers a branch has, where they begin, from the table on, and the
# width of what comes out of them.
BRANCH_LAYERS, BRANCH_START, BRANCH_WIDTH = range(3)
BRANCH_LINE = 3
ADD, MULTIPLY, CONCATENATE = range(3)
MEAN, MAX, FLATTEN, FLATTEN_BY_FEATURE, TRANSPOSE, LAST, REPEAT, REVERSE = range(8)
NO_MEAN = 2  # of ROWS_FLAG: what a mean sums is not divided
ONE_WAY, CONCAT, SUM, MUL, AVE = range(5)

# Values of WINDOW_START; padding with zeros is an initial state, so that no kernel needs to know.
START_ANSWER, START_WAIT, START_FIRST = range(3)
WINDOW_COUNTERS = 2  # rows in the window, and the place in the ring of the next one

# Constants of a layer: two parameters for each activation, bounds (infinite for none), epsilon.
GATE_CLIP, CELL_CLIP, PROJECTION_CLIP, EPSILON = 6, 7, 8, 9
CONSTANT_COUNT = 10

# Values of KIND; those with a state come first, RNN the last of them. LSTM is the plain one;
# LSTM_OPTIONS has any option of network.layers.LSTM but layer norm, LSTM_NORM has that too.
LSTM, LSTM_OPTIONS, LSTM_NORM, GRU, GRU_BEFORE, RNN = range(6)
DENSE, POINTWISE, LAYER_NORM, EMBEDDING = range(6, 10)
WINDOW = 10  # runs the layers that follow over the last rows, row by row
WHOLE_WINDOW = 11  # runs layers over all rows of a window, one layer after the other
CONV, ROWS, ATTENTION = range(12, 15)  # layers over rows of a window
CONV_STEP = 15  # a causal convolution, step by step: its last inputs are a ring in the state row
PARALLEL, PARALLEL_STEP = 16, 17  # branches that are merged: over rows of a window, step by step
LSTM_ROWS, GRU_ROWS = 18, 20  # the plain LSTM and GRU over all rows of a window
ROWS_SOFTMAX = 19

# The kind of a layer by its name in network.layers, where the name decides.
KINDS = {
    "rnn": RNN,
    "dense": DENSE,
    "pointwise": POINTWISE,
    "layer_norm": LAYER_NORM,
    "embedding": EMBEDDING,
    "pool": ROWS,
    "flatten": ROWS,
    "last": ROWS,
    "repeat": ROWS,
    "reverse": ROWS,
    "transpose": ROWS,
    "softmax_over_rows": ROWS_SOFTMAX,
    "attention": ATTENTION,
}

# A task: what to step, as addresses; one int64 array a backend (step.py).
(
    TASK_STEP,  # address of the compiled function that carries it out
    TASK_WEIGHTS,
    TASK_PROGRAM,
    TASK_ROWS,
    TASK_SLOTS,
    TASK_X,
    TASK_Y,
    TASK_SCRATCH,
    TASK_SCRATCH_SIZE,  # floats of scratch for each thread
    TASK_GROUPS,  # address of a table of groups, one for each thread
    TASK_PARITY,  # alternates between 0 and 1 with every step of a single stream
    TASK_SLOT,  # of a single stream
    TASK_OBSERVATION,  # address of room for its observation
    TASK_LOCKED,  # 1 while a thread works on the state without the GIL
    TASK_STEPS,  # steps made by compiled code that counts them itself
    TASK_SHARED,  # address of the function that steps on several threads where that is quicker,
    TASK_SHARING,  # and of its table (sharing.py); both 0 for one thread
    TASK_TIMES,  # address of the event times of the block, float64, NaN for none; 0 for no times
    TASK_TIME,  # room for the time of a single stream, the bits of a float64
    # Addresses of the online stage's kernels before and behind the layers, 0 for none: of a stream,
    TASK_BEFORE,
    TASK_BEFORE_TILES,  # and of whole tiles of streams.
    TASK_BEHIND,
    TASK_BEHIND_TILES,
) = range(23)
TASK_LAYERS = 24  # from here on for each KIND the address of the kernel that steps a group
TASK_SINGLES = 48  # and of the kernel that steps a single stream
TASK = 72

# A group: some streams of a block that go through the layers together.
(
    GROUP_FIRST,  # position in the block
    GROUP_COUNT,
    GROUP_INPUTS,  # offset in the scratch of the rows that a layer reads
    GROUP_OUTPUTS,  # and of those that it writes
    GROUP_SCRATCH,  # address
    GROUP_PARITY,
    GROUP_PROGRAM,  # address of the program that the kernels of layers read
    GROUP_ROWS,  # how many rows a layer over the rows of a window has made
    GROUP_LAST,  # position in the block behind the last group
) = range(9)
GROUP_SIZE = 16  # cache lines of its own

# Codes of activations, in the order of the table below.
LINEAR, RELU, TANH, SIGMOID, HARD_SIGMOID, HARD_TANH, AFFINE, SCALED_TANH, LEAKY_RELU = range(9)
THRESHOLDED_RELU, ELU, SELU, SOFTSIGN, SOFTPLUS, SILU, GELU, GELU_TANH, EXPONENTIAL = range(9, 18)
MISH, HARD_SILU = range(18, 20)
SOFTMAX, LOG_SOFTMAX = range(20, 22)  # of all outputs of a layer together

# Activations by name, with the default values of their parameters. Names are those of PyTorch and
# Keras, parameters those of ONNX, equations in reference.py.
ACTIVATIONS: dict[str, tuple[float, ...]] = {
    "linear": (),
    "relu": (),
    "tanh": (),
    "sigmoid": (),
    "hard_sigmoid": (1 / 6, 0.5),  # clip(a x + b, 0, 1); Keras 2 and ONNX default to 0.2, 0.5
    "hard_tanh": (-1.0, 1.0),  # clip(x, a, b); (0, 6) is relu6
    "affine": (1.0, 0.0),  # a x + b
    "scaled_tanh": (1.0, 1.0),  # a tanh(b x)
    "leaky_relu": (0.01,),  # a x below zero
    "thresholded_relu": (1.0,),  # x above a, else zero
    "elu": (1.0,),  # a (exp(x) - 1) below zero
    "selu": (),
    "softsign": (),  # x / (1 + |x|)
    "softplus": (),  # log(1 + exp(x))
    "silu": (),  # x sigmoid(x), also called swish
    "gelu": (),  # x times the normal distribution at x
    "gelu_tanh": (),  # its approximation by tanh
    "exponential": (),
    "mish": (),  # x tanh(softplus(x))
    "hard_silu": (),  # x clip(x / 6 + 1/2, 0, 1), also called hardswish
    "softmax": (),
    "log_softmax": (),
}
CODES = {name: code for code, name in enumerate(ACTIVATIONS)}

# Every vector of the state row and of the scratch is padded to whole cache lines, the widest
# vector of any supported machine, so that a row means the same on all of them.
PAD = 16

# A panel is this many vectors wide: the four gates of LANES hidden units.
COLUMNS = 4

# Precisions of weights.
PRECISIONS = ("float32", "float16", "bfloat16", "int8")

# Sums of a panel one or two vectors wide are split into this many, or a single stream would wait
# for one addition after the other.
NARROW_CHAINS, HALF_CHAINS = 4, 4

# Streams whose activations are kept in cache together, a multiple of the tile's 6 rows.
GROUP = 48


def padded(n: int) -> int:
    """Round ``n`` up to whole cache lines."""
    return -(-n // PAD) * PAD
