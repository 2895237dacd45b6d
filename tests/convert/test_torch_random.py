"""Random modules: each is converted to the same numbers, step by step, or refused."""

import warnings

import numpy as np
import pytest

import streamlstm as sl
from streamlstm.errors import ConvertError

torch = pytest.importorskip("torch", reason="needs PyTorch: make test-all")

from streamlstm.convert.labels.confirm import reference_outputs  # noqa: E402

from .random_torch import RandomNetwork, series  # noqa: E402


def gap(seed: int) -> float | str:
    """Return how far a converted network is from its module, or why it is refused."""
    module = RandomNetwork(seed)
    try:
        model = sl.from_torch(module)
    except ConvertError as error:
        return str(error)
    X = series(seed, module.features)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = module.double().steps(X)
    except RuntimeError:
        return "the module cannot run"
    computed = reference_outputs(model, X[None])[0]
    assert "notes" not in model.metadata  # it was compared
    found = np.abs(expected - computed).max() / max(1, np.abs(expected).max())
    return float(found)


def judge(seeds: range) -> tuple[int, dict[int, str]]:
    """Assert that none of some networks is wrong; return how many are right, and the refused."""
    found = {seed: gap(seed) for seed in seeds}
    wrong = {s: d for s, d in found.items() if not isinstance(d, str) and not d < 1e-4}
    assert not wrong
    refused = {seed: why for seed, why in found.items() if isinstance(why, str)}
    return len(found) - len(refused), refused


@pytest.mark.parametrize("part", range(4))
def test_a_random_module_is_converted_rightly_or_refused(part: int) -> None:
    right, refused = judge(range(60 * part, 60 * part + 60))
    assert right > 30
    strange = {seed: why for seed, why in refused.items() if not RandomNetwork(seed).odd}
    assert all("joins" in why or "adds" in why for why in strange.values()), strange


@pytest.mark.exhaustive
def test_no_other_random_module_is_converted_wrongly() -> None:
    """Ten thousand take ten minutes: raise the bound after a change of the conversion."""
    judge(range(1_000, 1_500))
