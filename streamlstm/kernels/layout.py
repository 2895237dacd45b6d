"""The integer table that tells the kernels what a model is: the meaning of every number in it.

One compiled kernel serves every model. What differs between models stands in one int64 array,
the program: a header, one row a layer, and the skip indices.
"""

# Header.
INPUTS, OUTPUTS, LAYERS, ROW_SIZE, INPUT_SCALING, OUTPUT_SCALING, SKIP, STRIDE = range(8)
HEADER = 8

# One row a layer, after the header.
KIND, LAYER_INPUTS, LAYER_OUTPUTS, WEIGHTS, HIDDEN, CELL, ACTIVATION = range(7)
ROW = 8

# Values of KIND and ACTIVATION.
LSTM, DENSE = range(2)
LINEAR, RELU, TANH, SIGMOID = range(4)

# Every vector of the state row and of the scratch is padded to whole cache lines, the widest
# vector of any supported machine, so that a row means the same on all of them.
PAD = 16

# A panel is this many vectors wide: the four gates of LANES hidden units.
COLUMNS = 4

# Sums of a narrow panel (one vector wide) are split into this many.
NARROW_CHAINS = 4

# Streams whose activations are kept in cache together, a multiple of the tile's 6 rows.
GROUP = 48


def padded(n: int) -> int:
    """Round ``n`` up to whole cache lines."""
    return -(-n // PAD) * PAD
