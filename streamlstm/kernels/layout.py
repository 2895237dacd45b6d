"""The integer tables that tell the kernels what to do: the meaning of every number in them.

One compiled kernel serves every model. What differs between models stands in one int64 array,
the program: a header, one row a layer, and the skip indices. Offsets point into the model's
weight block.
"""

# Header.
INPUTS, OUTPUTS, LAYERS, ROW_SIZE, INPUT_SCALING, OUTPUT_SCALING, SKIP, STRIDE, WORKSPACE = range(9)
SKIP_SCALE = 9  # offset of what each input is multiplied by before it is added
CATEGORIES = 10  # that the first input may name; 0 if it is an ordinary number
PREDICTION = 11  # where in a state row the prediction of the last numbered observation is kept
HEADER = 16

# One row a layer, after the header.
(
    KIND,
    LAYER_INPUTS,
    LAYER_OUTPUTS,
    UNITS,  # hidden units, categories of an embedding
    WEIGHTS,  # packed panels
    HIDDEN,  # where h and c stand in a state row
    CELL,
    ACTIVATION,  # codes: of the layer, or of gates, candidate and cell
    CANDIDATE_ACTIVATION,
    CELL_ACTIVATION,
    CONSTANTS,  # offset of the layer's constants, below
    VECTORS,  # offset of scale and shift of pointwise and layer norm; of the table of an embedding
    PEEPHOLE,  # offset, of zeros where the layer has none
    NORM,  # offsets, -1 where the layer has none
    PROJECTION,
    COUPLED,
    USUAL,  # 1: gates are sigmoid or hard sigmoid, candidate and cell tanh
    SHORT_WEIGHTS,  # offset of panels with weights of 16 bits, for a single stream
) = range(18)
ROW = 24

# Constants of a layer: two parameters for each activation, bounds (infinite for none), epsilon.
GATE_CLIP, CELL_CLIP, PROJECTION_CLIP, EPSILON = 6, 7, 8, 9
CONSTANT_COUNT = 10

# Values of KIND. LSTM is the plain one; LSTM_OPTIONS has any of the options of layers.LSTM but
# layer norm, LSTM_NORM that too.
LSTM, LSTM_OPTIONS, LSTM_NORM, GRU, GRU_BEFORE, RNN = range(6)
DENSE, POINTWISE, LAYER_NORM, EMBEDDING = range(6, 10)

# A task: what to step, as addresses; one int64 array a backend (step.py).
(
    TASK_STEP,  # of the compiled function that carries it out
    TASK_WEIGHTS,
    TASK_PROGRAM,
    TASK_ROWS,
    TASK_SLOTS,
    TASK_X,
    TASK_Y,
    TASK_SCRATCH,
    TASK_SCRATCH_SIZE,  # floats of scratch for each thread
    TASK_GROUPS,  # of a table of groups, one for each thread
    TASK_TURN,  # 0 and 1 in turn, from one step of a single stream to the next
    TASK_SLOT,  # of a single stream
    TASK_OBSERVATION,  # of room for its observation
    TASK_HELD,  # 1 while somebody works on the state without the interpreter's lock
    TASK_STEPS,  # made by compiled code that counts them itself
    TASK_SHARED,  # address of the function that shares a block among threads; 0 if there is none
) = range(16)
TASK_LAYERS = 16  # from here on for each KIND the address of what steps a group
TASK_SINGLES = 32  # and of what steps a single stream
TASK = 48

# A group: some streams of a block that go through the layers together.
(
    GROUP_FIRST,  # position in the block
    GROUP_COUNT,
    GROUP_INPUTS,  # offset in the scratch of the rows that a layer reads
    GROUP_OUTPUTS,  # and of those that it writes
    GROUP_SCRATCH,  # address
    GROUP_TURN,
) = range(6)
GROUP_SIZE = 8

# Codes of activations are positions here.
ACTIVATIONS = (
    "linear",
    "relu",
    "tanh",
    "sigmoid",
    "hard_sigmoid",
    "hard_tanh",
    "affine",
    "scaled_tanh",
    "leaky_relu",
    "thresholded_relu",
    "elu",
    "selu",
    "softsign",
    "softplus",
    "silu",
    "gelu",
    "gelu_tanh",
    "exponential",
    "mish",
    "hard_silu",
    "softmax",
    "log_softmax",
)

# Every vector of the state row and of the scratch is padded to whole cache lines, the widest
# vector of any supported machine, so that a row means the same on all of them.
PAD = 16

# A panel is this many vectors wide: the four gates of LANES hidden units.
COLUMNS = 4

# How weights may be kept.
PRECISIONS = ("float32", "float16", "bfloat16")

# Sums of a panel one or two vectors wide are split into this many, or a single stream would wait
# for one addition after the other.
NARROW_CHAINS, HALF_CHAINS = 4, 4

# Streams whose activations are kept in cache together, a multiple of the tile's 6 rows.
GROUP = 48


def padded(n: int) -> int:
    """Round ``n`` up to whole cache lines."""
    return -(-n // PAD) * PAD
