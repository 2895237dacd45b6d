"""The function that handles each operator of ONNX."""

import numpy as np

from ...network.activations import WITHOUT_PARAMETERS
from . import activations, arithmetic, concat, norms, over_rows, pad, shapes, slicing
from .activations import Handler
from .recurrent import recurrent

# A handler takes a node and the values of its inputs; it returns the value of the node's output, or
# a list with one for each output.
HANDLERS: dict[str, Handler] = {
    **{name.capitalize(): activations.activation(name) for name in WITHOUT_PARAMETERS},
    "HardSwish": activations.activation("hard_silu"),
    "HardSigmoid": activations.activation("hard_sigmoid", ("alpha", 0.2), ("beta", 0.5)),
    "LeakyRelu": activations.activation("leaky_relu", ("alpha", 0.01)),
    "ThresholdedRelu": activations.activation("thresholded_relu", ("alpha", 1.0)),
    "Elu": activations.activation("elu", ("alpha", 1.0)),
    "Exp": activations.function(np.exp),
    "Erf": activations.function(activations.ERF),
    "Log": activations.function(np.log),
    "Sqrt": activations.function(np.sqrt),
    "Abs": activations.function(np.abs),
    "Reciprocal": activations.function(np.reciprocal),
    "Neg": arithmetic.negative,
    "Selu": activations.selu,
    "Celu": activations.celu,
    "Gelu": activations.gelu,
    "Swish": activations.swish,
    "Where": arithmetic.where,
    "PRelu": activations.prelu,
    "Clip": activations.clip,
    "Softmax": activations.softmax,
    "LogSoftmax": activations.softmax,
    "LayerNormalization": norms.layer_norm,
    "BatchNormalization": norms.batch_norm,
    "Scaler": arithmetic.scaler,
    "MatMul": arithmetic.matmul,
    "Gemm": arithmetic.gemm,
    **dict.fromkeys((*arithmetic.FUNCTIONS, "Sum"), arithmetic.arithmetic),
    **dict.fromkeys(norms.REDUCTIONS, norms.reduce),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), recurrent),
    **dict.fromkeys(("Identity", "Dropout"), shapes.identity),
    **dict.fromkeys(("Cast", "CastLike"), shapes.cast),
    "Shape": shapes.shape,
    "Transpose": shapes.transpose,
    "Squeeze": shapes.squeeze,
    "Unsqueeze": shapes.unsqueeze,
    "Reshape": shapes.reshape,
    "Flatten": shapes.flatten,
    "Expand": shapes.expand,
    "Tile": shapes.tile,
    "Gather": slicing.gather,
    "Slice": slicing.slice_,
    "Split": slicing.split,
    "Concat": concat.concat,
    "Pad": pad.pad,
    "Conv": over_rows.convolution,
    **dict.fromkeys(("MaxPool", "AveragePool"), over_rows.pooling),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), norms.global_pooling),
}
