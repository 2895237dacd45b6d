"""Settings of a training, from the command and from Python, are the same."""

import inspect
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from streamlstm.cli.train.command import train as command
from streamlstm.errors import DataError
from streamlstm.learn.settings import Settings
from streamlstm.learn.training import hidden_sizes, train

# Settings of the command that the class has under another name, and settings without an option.
NOT_SETTINGS = {"context", "data", "out", "from_model", "checkpoint", "sweep", "processes"}
NOT_SETTINGS |= {"hidden", "layers", "report"}
LISTS = {"missing_values", "difference"}  # None where the class has an empty tuple
NOT_OPTIONS = {"hidden_sizes", "patience", "cuts"}


def test_the_command_has_an_option_for_each_setting_with_its_default() -> None:
    options = inspect.signature(command).parameters
    settings = {field.name: field.default for field in fields(Settings)}
    assert options.keys() - NOT_SETTINGS == settings.keys() - NOT_OPTIONS
    for name in options.keys() - NOT_SETTINGS - {"target", "horizon", *LISTS}:
        assert options[name].default == settings[name], name
    assert (options["hidden"].default,) * options["layers"].default == settings["hidden_sizes"]


def test_an_unknown_setting_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="no setting 'epoch'; did you mean 'epochs'"):
        train("no.csv", target="value", epoch=3)
    with pytest.raises(DataError, match=r"The settings are .*seed"):
        train("no.csv", target="value", hidden_sizes=3)


def test_help_and_completion_show_every_setting() -> None:
    shown = inspect.signature(train).parameters
    settings = {field.name: field.default for field in fields(Settings)}
    for name in settings.keys() - {"hidden_sizes", "target", "inputs"}:
        assert shown[name].default == settings[name]
    assert "settings" not in shown


@pytest.mark.parametrize(
    "given",
    [{"hidden": "8"}, {"hidden": 4.0}, {"hidden": 0}, {"hidden": []}, {"hidden": [8, None]}],
)
def test_hidden_units_are_whole_numbers(given: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="hidden: expected a whole number of 1 or more"):
        train("no.csv", target="value", **given)


@pytest.mark.parametrize("given", [0, -1, 2.5, "3", True, None])
def test_settings_that_are_whole_numbers(given: Any) -> None:
    with pytest.raises(DataError, match="epochs: expected a whole number of 1 or more, got"):
        Settings(epochs=given)
    with pytest.raises(DataError, match="window: expected a whole number of 2 or more, got"):
        train("no.csv", target="value", window=given)


def test_whole_numbers_of_numpy_are_taken() -> None:
    assert type(Settings(epochs=np.int64(3)).epochs) is int
    assert hidden_sizes(np.int64(4), 2) == (4, 4)
    assert hidden_sizes([4, 5], 1) == (4, 5)


def test_what_is_no_name_or_no_quantile_is_a_sentence() -> None:
    frame = {"value": [1.0, 2.0]}
    with pytest.raises(DataError, match="expected the name of a column, got 0"):
        train(frame, target=0)
    with pytest.raises(DataError, match=r"quantiles: expected levels .*0.5.*got 0.4"):
        train(frame, target="value", quantiles=0.4)
    sparse = {"value": [1.0, *[float("nan")] * 99]}
    with pytest.raises(DataError, match=r"the target is missing in 99"):
        train(sparse, target="value", fill="last")
