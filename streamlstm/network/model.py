"""Model: layers, weights, names and scaling of one network."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from importlib.resources import as_file, files
from inspect import signature
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import ModelError
from .calendar_inputs import inputs_with
from .checks import (
    check_chain,
    check_horizons,
    check_lags,
    check_metadata,
    check_names,
    check_scaling,
    check_skip,
    check_skip_scale,
    check_stage,
    check_targets,
    check_weights,
)
from .differences import check_differences
from .file import read_model_file, write_model_file
from .html import as_table
from .layers import Layer
from .model_contents import ModelContents
from .offsets import check_offsets, check_output_offsets, check_stage_offsets
from .online import Online
from .scaling import Scaling
from .window import check_start, check_window, describe_window


class Model(ModelContents):
    """A network with its weights, and the names, units and horizon of its inputs and outputs.

    One step is ``y = output_scaling.invert(layers(input_scaling.apply(x)))``; where ``skip``
    names an input, that input is added: ``y[o] += skip_scale[o] * x[skip[o]]``. With offsets all
    of this is computed for ``x - input_offsets``, and gives ``y - output_offsets``.

    Parameters
    ----------
    layers : sequence of layer specifications
        Applied in order; each takes the outputs of the one before.
    weights : sequence of dict of str to array
        For each layer the arrays that ``layer.parameters()`` lists; copied to float32.
    inputs, outputs : sequence of str, optional
        Names of the F features and the O outputs; ``x0, x1, ...`` and ``y0, y1, ...`` if left out.
    input_scaling, output_scaling : Scaling, optional
        In the unit of the series; none if left out.
    skip : sequence of int, optional
        For each output the index of the input that is added to it, or -1 for none, so that the
        network predicts the change of a series instead of its level.
    skip_scale : sequence of float, optional
        For each output the factor of that input; 1 for all if left out. The attribute is
        float32[O], or None if all are 1.
    horizon : int, or sequence of int
        How many steps ahead of its observation a prediction is, or each output of it; 0 if it is no
        forecast. The attribute ``horizons`` has one for each output, ``horizon`` is the longest.
    metadata : mapping of str to str, optional
        Anything worth recording about the origin of the model. It changes no result.
    online : Online, optional
        What is done beside the network with observations and predictions; nothing if left out.
    lags : sequence of int, optional
        Steps back, rising, of a linear part beside the layers: to each output is added, before it
        is scaled back, ``sum_k lag_weights[o, k] z[t - lags[k]]``, where ``z`` is the scaled input
        that the output forecasts; a value before the stream's first is taken as the latest. It
        needs an online stage, which keeps these values; ``Online()`` is enough.
    lag_weights : float32[O, K], optional
        Its weights.
    input_offsets : float64[F], optional
        What is subtracted from the inputs in float64, before they become float32, which holds
        seven digits: for values that are large against their changes. 0 if left out; the attribute
        is None if all are 0 and no input is a counter (:attr:`Online.difference`). Such a model
        takes no float32 arrays: they have lost the values.
    output_offsets : float64[O], optional
        What is added to the outputs, which then are float64. Left out: those of the inputs that the
        outputs forecast.
    window : int, optional
        T: each step runs the layers over the last T observations from their initial state, as a
        network needs that was trained on windows of T rows. Left out, the layers keep their state
        from step to step.
    start : {"answer", "wait", "zeros", "first"}
        What happens before T observations of a stream have come: predictions from those that have;
        NaN; predictions from a window padded on the left with zeros (of the scaled inputs, so with
        their means), or with the first observation.

    Raises
    ------
    ModelError
        If anything does not fit; the message names the layer, the parameter and the shapes.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        weights: Sequence[Mapping[str, ArrayLike]],
        inputs: Sequence[str] | None = None,
        outputs: Sequence[str] | None = None,
        input_scaling: Scaling | None = None,
        output_scaling: Scaling | None = None,
        skip: Sequence[int] | None = None,
        horizon: int | Sequence[int] = 1,
        metadata: Mapping[str, str] | None = None,
        skip_scale: ArrayLike | None = None,
        online: Online | None = None,
        lags: Sequence[int] = (),
        lag_weights: ArrayLike | None = None,
        input_offsets: ArrayLike | None = None,
        output_offsets: ArrayLike | None = None,
        window: int | None = None,
        start: str | None = None,
    ) -> None:
        self.layers = check_chain(layers)
        self.weights = check_weights(self.layers, weights)
        self.window = check_window(window, self.layers)
        self.start = check_start(start, self.window, self.layers, online is not None)
        self.horizons = check_horizons(horizon, self.output_size)
        self.online = check_stage(online, self.layers, self.horizon)
        F, O = self.input_size, self.output_size
        self.inputs = check_names("inputs", inputs, "x", F)
        self.outputs = check_names("outputs", outputs, "y", O)
        self.input_scaling = check_scaling(
            "input_scaling", input_scaling, F, first_is_category=self.categories > 0
        )
        self.output_scaling = check_scaling("output_scaling", output_scaling, O)
        self.skip = check_skip(skip, F, O)
        self.skip_scale = check_skip_scale(skip_scale, self.skip, O)
        self.metadata = check_metadata(metadata)
        self.targets = check_targets(
            self.online, self.inputs, self.outputs, self.skip, self.horizons
        )
        self.lags, self.lag_weights = check_lags(lags, lag_weights, self.targets, self.online)
        self.input_offsets = check_offsets("input_offsets", input_offsets, self.inputs)
        if self.categories and self.input_offsets is not None and self.input_offsets[0]:
            raise ModelError("input_offsets: expected 0 for the category in the first input.")
        self.output_offsets = check_output_offsets(
            output_offsets, self.input_offsets, self.outputs, self.targets
        )
        check_stage_offsets(online, self.inputs, self.input_offsets, self.output_offsets)
        check_differences(
            online,
            self.inputs,
            self.outputs,
            self.targets,
            self.horizons,
            self.categories,
            self.input_offsets,
        )
        # Counters too are taken and given in full: as if with offsets, of 0.
        if self.differences and self.input_offsets is None:
            self.input_offsets = np.zeros(F)
        if self.has_levels and self.output_offsets is None:
            self.output_offsets = np.zeros(O)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model to one .safetensors file (docs/model-file.md).

        Raises
        ------
        ModelFileError
            If the file cannot be written.
        """
        write_model_file(path, self)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Model":
        """Read a model from a .safetensors file; nothing from the file is ever executed.

        Raises
        ------
        ModelFileError
            If the file is missing, damaged, foreign, or written by a newer version.
        """
        return read_model_file(path, cls)

    @classmethod
    def shipped(cls) -> "Model":
        """Return the model of the demo, a part of the package: one value, ten steps ahead."""
        with as_file(files("streamlstm") / "models" / "host.safetensors") as path:
            return cls.load(path)

    def with_weights(self, weights: Sequence[Mapping[str, ArrayLike]]) -> "Model":
        """Return a copy of this model with other weights, one dict for each layer."""
        return self._copy(weights=weights)

    def with_online(self, online: Online | None) -> "Model":
        """Return a copy of this model with another online stage; with none for None.

        A calendar that the model has not had takes over the last inputs of the network: these are
        computed from the event time from then on. Without it they come with each observation again.

        Inputs that are counters stay so: the network knows their changes only. ``difference`` is
        then left out, and without a stage the model keeps one that does nothing else.

        Raises
        ------
        ModelError
            If the stage does not fit the model's inputs and outputs.
        """
        if self.differences and (online is None or not online.difference):
            online = replace(online or Online(), difference=self.differences)
        return self._copy(online=online, **inputs_with(self, online))

    def with_metadata(self, **more: str) -> "Model":
        """Return the model with more metadata, which replace those of the same names."""
        return self._copy(metadata={**self.metadata, **more})

    def with_window(self, window: int | None, start: str | None = None) -> "Model":
        """Return a copy of this model that runs over windows of so many rows; None for stateful.

        Raises
        ------
        ModelError
            If the model has no recurrent layer, or window or start are not those of a model.
        """
        return self._copy(window=window, start=start)

    def of_changes(self) -> "Model":
        """Return a copy that takes changes of counters, not their values, and has no offsets."""
        online = None if self.online is None else replace(self.online, difference=())
        return self._copy(online=online, input_offsets=None, output_offsets=None)

    def of_labels(self, inputs: Sequence[str], outputs: Sequence[str]) -> "Model":
        """Return a copy whose outputs speak of the row itself, with these names."""
        made = copy(self)
        made.inputs = check_names("inputs", inputs, "x", self.input_size)
        made.outputs = check_names("outputs", outputs, "y", self.output_size)
        made.horizons = (0,) * self.output_size
        made.__dict__.pop("fingerprint", None)
        return made

    def with_offsets(
        self, input_offsets: ArrayLike | None, output_offsets: ArrayLike | None = None
    ) -> "Model":
        """Return a copy of this model with other offsets; with none for None.

        Raises
        ------
        ModelError
            If they do not fit the model's inputs and outputs.
        """
        return self._copy(input_offsets=input_offsets, output_offsets=output_offsets)

    def _copy(self, **changed: Any) -> "Model":
        names = signature(Model).parameters
        arguments = {name: getattr(self, name) for name in names} | {"horizon": self.horizons}
        if self.output_offsets is None:  # by default outputs would have those of their inputs
            arguments["output_offsets"] = np.zeros(self.output_size)
        return Model(**arguments | changed)

    def __repr__(self) -> str:
        """Show inputs, layers and outputs in order."""
        chain = " -> ".join(layer.describe() for layer in self.layers)
        more = f", {describe_window(self.window, self.start)}" if self.window else ""
        more += "" if self.online is None else f", {self.online.describe()}"
        more += ", not compared with its source" if self._is_unseen else ""
        return f"<Model {', '.join(self.inputs)} -> {chain} -> {', '.join(self.outputs)}{more}>"

    @property
    def _is_unseen(self) -> bool:
        """Whether a converter could not compare it with what it was made from."""
        return self.metadata.get("compared", "").startswith("no")

    def _repr_html_(self) -> str:
        """Show the same in a notebook."""
        names = (("inputs", self.inputs), ("outputs", self.outputs))
        shown = [(name, ", ".join(found)) for name, found in names]
        ahead = [f"{h} step{'s' * (h != 1)} ahead" for h in sorted(set(self.horizons)) if h]
        if ahead:
            shown.append(("forecasts", ", ".join(ahead)))
        shown.append(("layers", " -> ".join(layer.describe() for layer in self.layers)))
        if self.window is not None:
            shown.append(("window", describe_window(self.window, self.start)))
        parameters = sum(array.size for weights in self.weights for array in weights.values())
        shown.append(("parameters", f"{parameters:,}"))
        if self.online is not None:
            shown.append(("online stage", self.online.describe()))
        shown.append(("fingerprint", self.fingerprint))
        if "compared" in self.metadata:
            shown.append(("compared with its source", self.metadata["compared"]))
        return as_table("streamlstm Model", shown)

    def predict(self, data: Any, **options: Any) -> Any:
        """Predict from every row of a table: :func:`streamlstm.predict`."""
        import streamlstm  # how a network runs is known above this package

        return streamlstm.predict(self, data, **options)
