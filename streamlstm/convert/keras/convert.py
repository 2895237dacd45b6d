"""Networks of Keras 2 and 3, read without Keras."""

from os import PathLike
from typing import Any

from ...network.model import Model
from ..common.refusal import refusing
from .file import KerasFile, read_keras
from .graph import Graph, read_graph
from .reader import Reader
from .weights import ROOTS


def from_keras(path: str | PathLike[str], **options: Any) -> Model:
    """Read a network of Keras: ``.keras``, or ``.h5`` of Keras 2 or 3.

    Sequential networks and Functional ones without branches, nested ones too. Neither Keras nor
    TensorFlow is needed, only h5py; nothing from the file is ever executed. Dropout and noise are
    left out, normalisations are folded into the layers beside them. An LSTM that returns only its
    last output answers with it at every step.

    Parameters
    ----------
    path : path
        What ``model.save`` wrote.
    **options
        ``inputs``, ``outputs``, ``input_scaling``, ``output_scaling``, ``skip``, ``skip_scale``,
        ``horizon`` (0, no forecast, if left out) and ``metadata``, as :class:`streamlstm.Model`
        takes them.

    Returns
    -------
    Model

    Raises
    ------
    ConvertError
        If the file is damaged, lacks a weight or has one too many, or holds what cannot be
        stepped; the message names the layer.

    Examples
    --------
    >>> import streamlstm as sl
    >>> model = sl.from_keras("model.keras")  # doctest: +SKIP
    """
    file = read_keras(path)
    with refusing(file.name):
        return Reader(file, graph_of(file)).read(options)


def graph_of(file: KerasFile) -> Graph:
    """Return the layers of a file in order."""
    places = {place.split("/")[0] for place in file.arrays}
    root = next((root for root in ROOTS if root in places), ROOTS[0])
    return read_graph(file.config, root)
