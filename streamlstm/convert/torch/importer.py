"""Conversion of PyTorch networks: a module, its state dict, or a file with the state dict."""

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from ...errors import ConvertError
from ...files import check_path
from ...network.model import Model
from ..common.beside import notes_on
from ..common.error_context import refusals
from ..labels.layers import InitialState, assemble
from .file import find_state_dict, read_torch
from .state_dict import layers_of_state_dict, read_both_ways

_UNSEEN = (
    "no: a state dict does not say what forward does beside its layers; give the module to be sure"
)
Source = Any  # torch.nn.Module, a state dict, or a path; torch is not imported here


def from_torch(
    source: Source,
    *,
    activations: Mapping[str, str] | None = None,
    initial_state: Iterable[InitialState] | None = None,
    rnn_activation: str = "tanh",
    epsilon: float = 1e-5,
    bidirectional: str | None = None,
    module: Any = None,
    output: int | str | None = None,
    **options: Any,
) -> Model:
    """Convert a PyTorch network.

    Layers: ``nn.LSTM`` (layers, ``proj_size``, no bias), ``nn.GRU``, ``nn.RNN``, their cells,
    ``Linear``, ``BatchNorm1d``, ``LayerNorm``, ``Embedding`` as the first, activations. A copy of a
    module is called once with random numbers, and what its ``forward`` calls is recorded and
    converted, or refused by name; then its outputs are compared. A state dict, and a module that
    needs more than one tensor, do not say what ``forward`` does: their layers are applied in the
    order in which they are registered. Name functional activations in ``activations`` then, and
    compare once with the original.

    Parameters
    ----------
    source : torch.nn.Module, mapping of str to tensor or array, or path
        A path is that of a file in which torch.save or safetensors put a state dict, which is read
        without executing anything from it (``weights_only=True``), or of TorchScript. Also an
        ``ExportedProgram`` of torch.export. Their operations are followed as those of a module,
        and compared with what they compute.
    activations : mapping of str to str, optional
        Activations that ``forward`` applies by functions, by the name of the layer they follow:
        ``{"fc1": "relu"}``.
    initial_state : iterable, optional
        For every recurrent module in turn what PyTorch takes as ``hx``: ``(h0, c0)`` for an LSTM,
        ``h0`` for the others, None for zeros; of an only one also without the list. Parameters
        called h0 and c0 beside the only recurrent module are found without it.
    rnn_activation : str
        That of ``nn.RNN``, "tanh" or "relu"; only a state dict leaves it open.
    epsilon : float
        That of BatchNorm1d and LayerNorm; only a state dict leaves it open.
    bidirectional : {"last", "ends"}, optional
        What the head takes of a bidirectional module, in a window model; only a state dict leaves
        it open. "last": its outputs at the last row, ``output[:, -1]``. "ends": the last state of
        either direction, ``torch.cat([h_n[-2], h_n[-1]], 1)``.
    module : torch.nn.Module, optional
        The network that a state dict belongs to. It is loaded with the weights, strictly, and
        converted: the sure way, because a module says what its ``forward`` does.
    output : int or str, optional
        Which tensor of those that ``forward`` returns, by its number among them or its key; by
        default the first that can be converted, and ``metadata["compared"]`` names those left out.
    **options
        Names, scaling, skip, horizon and metadata, as :class:`streamlstm.Model` takes them. The
        horizon is 0, no forecast, by default.

    Returns
    -------
    Model

    Raises
    ------
    ConvertError
        If a layer cannot be stepped or is not known, or a weight is missing, left over or of
        another shape; the message names the layer and the shapes.
    """
    if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not 0 <= epsilon < 1:
        raise ConvertError(f"epsilon: expected a number from 0 to below 1, got {epsilon!r}.")
    name = ""
    if isinstance(source, str | PathLike):
        name = fspath(check_path(source, ConvertError, "a file of a network"))
        with refusals("a file of PyTorch", name):
            source = read_torch(Path(name))
    with refusals(_what(source), name):
        return _convert(
            source,
            activations or {},
            _states(initial_state),
            rnn_activation,
            epsilon,
            bidirectional,
            module,
            output,
            options,
        )


def _what(source: Source) -> str:
    """Return what a source is, for messages."""
    if isinstance(source, Mapping):
        return "a state dict of PyTorch"
    kind = type(source).__name__
    if kind == "ExportedProgram":
        return "a program of torch.export"
    if hasattr(source, "save_to_buffer"):
        return "a TorchScript"
    return "a PyTorch module" if hasattr(source, "named_modules") else "from_torch"


def _convert(
    source: Source,
    activations: Mapping[str, str],
    states: list[InitialState],
    rnn_activation: str,
    epsilon: float,
    bidirectional: str | None,
    module: Any,
    output: int | str | None,
    options: dict[str, Any],
) -> Model:
    notes = []
    if isinstance(source, Mapping):
        notes = notes_on(source, find_state_dict(source), options, "The checkpoint")
    if module is not None:
        from .user_module import load_weights

        source = load_weights(module, source)
    if isinstance(source, Mapping):
        if output is not None:
            raise ConvertError(
                "output: a state dict does not say what forward returns: give the module too, "
                "module= (--module)."
            )
        parts = layers_of_state_dict(find_state_dict(source), rnn_activation, epsilon)
        read_both_ways(parts, bidirectional, options.get("window"))
        builder = assemble(parts, dict(activations), states)
        builder.notes += notes
        return builder.build("PyTorch", compared=_UNSEEN, **options)
    window = options.get("window")
    rows = window if isinstance(window, int) and not isinstance(window, bool) else None
    inputs = options.get("inputs")
    width = len(inputs) if isinstance(inputs, Sequence) and not isinstance(inputs, str) else None
    exported = type(source).__name__ == "ExportedProgram"
    if not (exported or hasattr(source, "named_modules")) or isinstance(source, type):
        raise ConvertError(
            "expected a torch.nn.Module, its state dict, TorchScript, a program of torch.export or "
            f"the path of a file of one, got {type(source).__name__}."
        )
    from ..labels.chain import Residual
    from .equivalence import convert_module
    from .program import convert_program, is_program
    from .widths import Wanted

    residual = Residual(options.get("skip"), options.get("skip_scale"))
    convert = convert_program if is_program(source) else convert_module
    builder, found, compared = convert(
        source, activations, states, residual, Wanted(rows, width, output)
    )
    if residual.skip is None and found.skip is not None:
        options |= {"skip": found.skip, "skip_scale": found.scale}
    builder.notes += notes
    if output is not None:  # so that a comparison takes the same one
        options["metadata"] = {"source_output": str(output), **(options.get("metadata") or {})}
    return builder.build("PyTorch", compared=compared, **options)


def _states(given: Any) -> list[InitialState]:
    """Return an initial state for each recurrent module; a bare one is for the only one."""
    if given is None:
        return []
    if hasattr(given, "shape"):
        return [given]
    states = list(given)
    if isinstance(given, tuple) and len(states) == 2 and all(hasattr(s, "shape") for s in states):
        return [given]
    return states
