"""TorchScript and programs of torch.export as modules, whose calls can be recorded.

Layers with weights become PyTorch's own modules; all else is called by PyTorch's functions.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from .exported_graph import ExportedGraph, example_of, open_graph
from .fast_path import encoder_layer, multi_head_attention
from .operation_error import OperationError
from .program_layers import CELLS, RECURRENT, layer_of, weight_of
from .script_graph import ScriptGraph

_FLOATS = (5, 6, 7, 15, torch.float16, torch.float32, torch.float64, torch.bfloat16)
_BOOLEAN = (11, torch.bool)
_NOTHING = ("_assert_tensor_metadata", "_assert_scalar", "sym_constrain_range_for_size")
_BIASED = ("linear", "conv1d", "convolution", "_convolution", "_convolution_mode")
_CASTS = ("to", "_to_copy", "type_as")
# Say where and how numbers lie in memory, not which they are.
_MEMORY = ("layout", "device", "pin_memory", "memory_format", "non_blocking")
Functions = dict[str, Callable[..., Any]]
# Operations whose arguments are not those of the function of that name.
_OWN: Functions = {
    "slice": lambda x, dim=0, start=None, end=None, step=1: x[
        (slice(None),) * (dim % x.dim()) + (slice(start, end, step),)
    ],
    "elu": lambda x, alpha=1.0, *_: nn.functional.elu(x, alpha),
    "constant_pad_nd": lambda x, pad, value=0: nn.functional.pad(x, pad, "constant", value),
    "_convolution": lambda x, w, b, stride, padding, dilation, transposed, _out, groups, *_: (
        nn.functional.conv1d(x, w, b, stride, padding, dilation, groups)
        if not transposed
        else nn.functional.conv_transpose1d(x, w, b, stride, padding, _out, groups, dilation)
    ),
    "_convolution_mode": lambda x, w, b, *args: nn.functional.conv1d(x, w, b, *args),
    "index": lambda x, places: x[tuple(slice(None) if p is None else p for p in places)],
    "batch_norm": lambda x, w, b, mean, var, _train, _momentum, eps, *_: nn.functional.batch_norm(
        x, mean, var, w, b, False, 0.0, eps
    ),
    "instance_norm": lambda x, w, b, mean, var, own, momentum, eps, *_: nn.functional.instance_norm(
        x, mean, var, w, b, own, momentum, eps
    ),
    "layer_norm": lambda x, shape, w=None, b=None, eps=1e-5, *_: nn.functional.layer_norm(
        x, shape, w, b, eps
    ),
    "embedding": lambda w, x, *_: nn.functional.embedding(x, w),
    "dropout": lambda x, p, train: nn.functional.dropout(x, p, train),
    "mT": lambda x: x.mT,
    "mH": lambda x: x.mT,
    "matrix_H": lambda x: x.T,
    "numpy_T": lambda x: x.T,
    "alias": lambda x: x,
    "lift_fresh_copy": lambda x: x,
    "size": lambda x, dim=None: list(x.shape) if dim is None else x.shape[dim],
    "sym_size": lambda x, dim: x.shape[dim],
    "adaptive_max_pool1d": lambda x, size: (nn.functional.adaptive_max_pool1d(x, size), None),
    "addmm": lambda b, x, w, *_: x @ w + b,
    "baddbmm": lambda b, x, y, *_: x @ y + b,
    "view": lambda x, shape: x.view(shape) if isinstance(shape, int) else x.reshape(shape),
    "_native_multi_head_attention": multi_head_attention,
    "_transformer_encoder_layer_fwd": encoder_layer,
}


def _cast(x: torch.Tensor, schema: Any, args: Sequence[Any]) -> torch.Tensor:
    """Return numbers in the type that one of the forms of ``to`` names, or of another tensor."""
    named = {a.name: value for a, value in zip(schema.arguments, args, strict=False)}
    other = named.get("other")
    kind = named.get("dtype") if other is None else other.dtype
    return x if kind is None else x.to(_dtype(kind))


class _Shared(list[OperationError]):
    """A list that copies of a module have together."""

    def __deepcopy__(self, _: Any) -> "_Shared":
        return self


class ProgramModule(nn.Module):  # type: ignore[misc] # torch is not read
    """A module that does what a program does.

    Parameters
    ----------
    program : torch.jit.ScriptModule or torch.export.ExportedProgram

    Attributes
    ----------
    failures : list of OperationError
        What ended calls of it, or of copies of it.
    """

    def __init__(self, program: Any) -> None:
        super().__init__()
        self.failures = _Shared()
        self._names: dict[tuple[int, tuple[int, ...]], str] = {}
        scripted = isinstance(program, torch.jit.ScriptModule)
        source = program.eval() if scripted else open_graph(program)
        for name, tensor in (*source.named_parameters(), *source.named_buffers()):
            self._names[_key(tensor)] = name
        self._graph = ScriptGraph(source) if scripted else ExportedGraph(source)
        self.example = () if scripted else example_of(program)
        shape = (
            _traced_shape(source) if scripted else [*self.example[0].shape] if self.example else []
        )
        self._batch = shape[0] if shape and not scripted else 0
        if shape:  # features last, or of channels first
            self.input_size = shape[-1]
            self.num_features = shape[1 if len(shape) == 3 else -1]
        self._children: dict[tuple[int, tuple[int, ...]], str] = {}
        for name, args in self._graph.calls():
            self._prepare(name, args)

    def forward(self, *given: Any) -> Any:
        """Return what the program returns.

        An exported program may take batches of one size only: one stream is repeated then.
        """
        batch = self._batch
        if batch < 2 or given[0].shape[0] != 1:
            return self._run(given)
        many = [x.expand(batch, *x.shape[1:]) if x is not None else x for x in given]
        return _first(self._run(many), batch)

    def _run(self, given: Sequence[Any]) -> Any:
        try:
            return self._graph.run(given, self._call)
        except OperationError as error:
            self.failures.append(error)
            raise

    def _prepare(self, name: str, args: Sequence[Any]) -> None:
        """Register the layer that an operation is, if its weights are constants."""
        found = layer_of(name, args)
        if found is None:
            return
        layer, weight = found
        key = _key(weight)
        path = self._names.get(key, name).rpartition(".")[0] or name
        if key in self._children:
            return
        place: nn.Module = self
        *outer, last = path.split(".")
        for part in outer:
            if part not in place._modules:
                place.add_module(part, nn.Module())
            place = place._modules[part]
        while last in place._modules:
            last += "_"
        place.add_module(last, layer)
        self._children[key] = ".".join([*outer, last])

    def _call(self, name: str, schema: Any, args: list[Any]) -> Any:
        """Call an operation on tensors by a function of PyTorch, or by a layer."""
        if name in _NOTHING:
            return None
        if (child := self._child(name, args)) is not None:
            return child
        args = [_own_type(arg) for arg in args]
        if name in _CASTS:
            return _cast(args[0], schema, args)
        if name in _OWN:
            return _OWN[name](*args)
        return _apply(name, *_bind(schema, args))

    def _child(self, name: str, args: list[Any]) -> Any:
        weight = weight_of(name, args)
        path = None if weight is None else self._children.get(_key(weight))
        if path is None:
            return None
        layer = self.get_submodule(path)
        if name in _BIASED and (args[2] is None) != (layer.bias is None):
            return None  # its bias is computed
        if name in CELLS:
            x, state = args[:2]
            return layer(x, _own_type(tuple(state) if name == "lstm_cell" else state))
        if name in RECURRENT:
            x, state = args[:2]
            start = tuple(state) if name == "lstm" else state
            outputs, last = layer(x, _own_type(start))
            return (outputs, *last) if name == "lstm" else (outputs, last)
        return layer(args[1] if name == "embedding" else args[0])


def _traced_shape(script: Any) -> list[int]:
    """Return the shape of the input with which a script was traced; empty if it was not."""
    given = list(script.inlined_graph.inputs())[1].type()
    sizes = given.sizes() if given.kind() == "TensorType" else None
    return list(sizes or ())


def _first(found: Any, batch: int) -> Any:
    """Return the first of a batch of outputs."""
    if isinstance(found, torch.Tensor):
        axis = 0 if found.shape[0] == batch else 1
        return found.narrow(axis, 0, 1) if found.shape[axis] == batch else found
    return type(found)(_first(part, batch) for part in found)


def _key(tensor: torch.Tensor) -> tuple[int, tuple[int, ...]]:
    return tensor.data_ptr(), tuple(tensor.shape)


def _own_type(value: Any) -> Any:
    """Return constants in the type in which a module runs now."""
    if isinstance(value, torch.Tensor):
        own = torch.get_default_dtype()
        return value.to(own) if value.is_floating_point() and value.dtype != own else value
    return type(value)(map(_own_type, value)) if isinstance(value, list | tuple) else value


def _dtype(value: Any) -> Any:
    if value in _BOOLEAN:
        return torch.bool
    return torch.get_default_dtype() if value in _FLOATS else torch.long


def _bind(schema: Any, args: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments of an operation by place, and those by name."""
    positional: list[Any] = []
    keywords: dict[str, Any] = {}
    for argument, value in zip(schema.arguments, args, strict=False):
        if argument.name in _MEMORY or (argument.name == "dtype" and value is None):
            continue
        if argument.name == "dtype":
            keywords["dtype"] = _dtype(value)
        elif not argument.kwarg_only and argument.name != "alpha":
            positional.append(value)
        elif value is not None:
            keywords[argument.name] = value
    return positional, keywords


def _apply(name: str, positional: Sequence[Any], keywords: dict[str, Any]) -> Any:
    """Call the first function of a name that takes these arguments."""
    for place in (nn.functional, torch, torch.Tensor, torch._C._nn):
        function = getattr(place, name, None)
        if callable(function):
            try:
                return function(*positional, **keywords)
            except TypeError:  # it takes others than the operation
                continue
    return getattr(torch.ops.aten, name)(*positional, **keywords)
