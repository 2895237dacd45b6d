"""Handlers of recurrent layers of Keras."""

from ...errors import ConvertError
from ..common.weights import Weights
from .add_layers import KERNELS, add_gru, add_lstm, add_rnn, from_cudnn
from .context import Context, units
from .network import KerasLayer


def lstm(context: Context, layer: KerasLayer) -> None:
    """LSTM."""
    gate = context.activation(layer, "recurrent_activation", "sigmoid")
    weights, H = _take(context, layer), units(layer)
    add_lstm(context.builder, weights, gate, context.activation(layer), H)


def gru(context: Context, layer: KerasLayer) -> None:
    """GRU; files from before the option ``reset_after`` have the reset gate first."""
    gate = context.activation(layer, "recurrent_activation", "sigmoid")
    after = bool(layer.config.get("reset_after", False))
    weights, H = _take(context, layer), units(layer)
    add_gru(context.builder, weights, gate, context.activation(layer), H, after)


def simple_rnn(context: Context, layer: KerasLayer) -> None:
    """SimpleRNN."""
    weights, H = _take(context, layer), units(layer)
    add_rnn(context.builder, weights, context.activation(layer), H)


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
    """Take the weights of a recurrent layer, after a check that it can be stepped."""
    if layer.config.get("go_backwards"):
        raise ConvertError(
            f"{layer.where} is refused: go_backwards reads the sequence from its end."
        )
    if context.ended:
        raise ConvertError(
            f"{layer.where} is refused: a second sequence starts at the end of the first."
        )
    if not layer.config.get("return_sequences"):
        context.end_sequence()
    return context.weights.take_biased(layer, KERNELS)
