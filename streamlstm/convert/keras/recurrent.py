"""Handlers of recurrent layers of Keras."""

from ...errors import ConvertError
from ...network.layers import Reverse
from ..common.builder import ModelBuilder
from ..common.weights import Weights
from .add_layers import KERNELS, add_gru, add_lstm, add_rnn, from_cudnn
from .context import Context, units
from .network import KerasLayer


def recurrent(context: Context, layer: KerasLayer) -> None:
    """LSTM, GRU and SimpleRNN."""
    add_cell(context, context.builder, layer, _take(context, layer))


def add_cell(context: Context, builder: ModelBuilder, layer: KerasLayer, weights: Weights) -> None:
    """Append an LSTM, a GRU or a SimpleRNN.

    Files from before a GRU's option ``reset_after`` have the reset gate first.
    """
    H, other = units(layer), context.activation(layer)
    if layer.kind == "SimpleRNN":
        add_rnn(builder, weights, other, H)
        return
    gate = context.activation(layer, "recurrent_activation", "sigmoid")
    if layer.kind == "LSTM":
        add_lstm(builder, weights, gate, other, H)
    else:
        add_gru(builder, weights, gate, other, H, bool(layer.config.get("reset_after", False)))


def cudnn(context: Context, layer: KerasLayer) -> None:
    """CuDNNLSTM and CuDNNGRU of Keras 2."""
    weights, H = _take(context, layer), units(layer)
    gates = 4 if layer.kind == "CuDNNLSTM" else 3
    kernel = weights.take("kernel")
    recurrent = weights.take("recurrent_kernel", (H, gates * H))
    bias = weights.take("bias", (2 * gates * H,))
    weights.finish()
    if kernel.ndim != 2 or kernel.shape[1] != gates * H:
        raise ConvertError(f"{layer.where}: expected kernel (F, {gates * H}), got {kernel.shape}.")
    plain = Weights(layer.where, from_cudnn(kernel, recurrent, bias))
    add = add_lstm if gates == 4 else add_gru
    add(context.builder, plain, units=H)


def _take(context: Context, layer: KerasLayer) -> Weights:
    """Take the weights of a recurrent layer, after a check that it can be run."""
    if layer.config.get("go_backwards"):
        context.builder.add(Reverse(context.need_width(layer)), {}, layer.where)
    if context.ended:
        raise ConvertError(
            f"{layer.where} is refused: a second sequence starts at the end of the first."
        )
    if not layer.config.get("return_sequences"):
        context.end_sequence()
    return context.weights.take_biased(layer, KERNELS)
