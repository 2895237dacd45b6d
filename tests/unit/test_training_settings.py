"""Settings of a training, from the command and from Python, are the same."""

import inspect
from dataclasses import fields

import pytest

from streamlstm.cli.train.command import train as command
from streamlstm.errors import DataError
from streamlstm.learn.settings import Settings
from streamlstm.learn.training import train

# Settings of the command that the class has under another name, and settings without an option.
NOT_SETTINGS = {"context", "data", "out", "from_model", "checkpoint", "sweep", "processes"}
NOT_SETTINGS |= {"hidden", "layers", "report"}
NOT_OPTIONS = {"hidden_sizes", "patience", "cuts"}


def test_the_command_has_an_option_for_each_setting_with_its_default() -> None:
    options = inspect.signature(command).parameters
    settings = {field.name: field.default for field in fields(Settings)}
    assert options.keys() - NOT_SETTINGS == settings.keys() - NOT_OPTIONS
    for name in options.keys() - NOT_SETTINGS - {"target", "horizon", "missing_values"}:
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
