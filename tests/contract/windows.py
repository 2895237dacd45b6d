"""Networks over windows, of which the contract suite has one of each kind."""

from streamlstm import (
    GRU,
    LSTM,
    RNN,
    Attention,
    Bidirectional,
    Conv1D,
    Dense,
    Embedding,
    Flatten,
    LayerNorm,
    Parallel,
    Pool,
    Repeat,
    Reverse,
    SoftmaxOverRows,
    Transpose,
)
from streamlstm.network.layers import Layer

# Windows: rows, and what happens before there are as many.
WINDOWS: dict[str, tuple[list[Layer], int, str]] = {
    "window": ([LSTM(8, 64), Dense(64, 1)], 5, "answer"),
    "window of one row": ([GRU(3, 7), Dense(7, 2)], 1, "answer"),
    "window that waits": ([LSTM(3, 12), Dense(12, 2, "relu")], 4, "wait"),
    "window padded with zeros": ([LSTM(3, 20, initial_state=True), Dense(20, 3)], 7, "zeros"),
    "window padded with the first row": ([RNN(17, 9, "relu"), Dense(9, 9)], 6, "first"),
    "window, stack": (
        [LayerNorm(5), LSTM(5, 33), Dense(33, 20, "tanh"), GRU(20, 9, reset_after=False)],
        9,
        "answer",
    ),
    "window, embedding": (
        [Embedding(4, 30, 17), LSTM(20, 20), Dense(20, 5, "softmax")],
        5,
        "first",
    ),
    "window, convolution, both ways": (
        [
            Conv1D(3, 20, 3, dilation=2, pad_left=4, activation="relu"),
            Pool(20, "max", 2, stride=1, pad_right=1),
            Bidirectional(20, LSTM(20, 17)),
            Pool(34),
            Dense(34, 2),
        ],
        5,
        "answer",
    ),
    "window, branches": (
        [
            Parallel(
                3,
                [
                    [
                        Bidirectional(3, LSTM(3, 17)),
                        Parallel(34, [[], [Pool(34), Dense(34, 1, "tanh")]], "multiply"),
                    ],
                    [Dense(3, 20), Reverse(20), Pool(20, "max")],
                    [],
                ],
                "concatenate",
            ),
            Parallel(57, [[Pool(57)], [Conv1D(57, 57, 3, pad_left=2)]]),
            Dense(57, 2),
        ],
        4,
        "answer",
    ),
    "window, several heads": (
        [
            Dense(3, 35),
            Parallel(35, [[], [Attention(35, "each", 0.4, heads=5, key_size=2), Dense(15, 35)]]),
            Attention(35, "each", 0.9, join=True, key_size=9, causal=True),
            Transpose(26, 4),
            Dense(4, 4, "tanh"),
            Transpose(4, 26),
            Parallel(26, [[], [Dense(26, 1, "tanh"), SoftmaxOverRows(1)]], "multiply"),
            Pool(26, "sum"),
            Dense(26, 2),
        ],
        4,
        "first",
    ),
    "window, shares": (
        [
            LSTM(3, 18),
            Parallel(18, [[], [Dense(18, 18), SoftmaxOverRows(18)]], "multiply"),
            Attention(18, key_size=3, heads=2),
            Dense(6, 2),
        ],
        5,
        "answer",
    ),
    "window, decoder": (
        [
            Bidirectional(3, GRU(3, 7, reset_after=False), "ave", sequence=False),
            Repeat(7, 3),
            LSTM(7, 9, layer_norm=True, initial_state=True),
            Dense(9, 2, "tanh"),
            Flatten(2, 3, by_feature=True),
        ],
        4,
        "wait",
    ),
    "window, attention": (
        [
            Embedding(2, 30, 6),
            Reverse(7),
            RNN(7, 18),
            Attention(18, "each", 0.3),
            Attention(18, join=True),
            Dense(36, 3, "softmax"),
        ],
        4,
        "first",
    ),
    "window, head over all rows": (
        [
            Conv1D(2, 9, 2, stride=2, pad_left=1),
            Pool(9, "mean", 3, 2, 1, 1, count_padding=True),
            Bidirectional(9, RNN(9, 5, initial_state=True), "mul"),
            LayerNorm(5),
            Flatten(5, 2),
            Dense(10, 20, "softsign"),
        ],
        6,
        "zeros",
    ),
}
