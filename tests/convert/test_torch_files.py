"""Files of PyTorch: checkpoints, modules of the users' own, TorchScript, exported programs."""

import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

import streamlstm as sl
from streamlstm.errors import ConvertError

from .stepping import TOLERANCE, difference
from .torch_networks import STEPS

torch = pytest.importorskip("torch", reason="needs PyTorch: make test-all")
nn = torch.nn

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")


def test_a_file_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    path = tmp_path / "module.pt"
    torch.save(nn.Linear(2, 3), path)
    with pytest.raises(ConvertError) as caught:
        sl.from_torch(path)
    message = str(caught.value)
    assert "holds torch.nn.modules.linear.Linear, and reading that would run its code" in message
    assert message.isprintable()  # PyTorch's own has a terminal's colours and line breaks
    path.write_bytes(b"not a file of torch")
    with pytest.raises(ConvertError, match=r"expected a state dict.*damaged, of another kind"):
        sl.from_torch(path)


def test_a_checkpoint_with_plain_values(tmp_path: Path) -> None:
    module = nn.LSTM(2, 3)
    others = {"loss": np.float64(0.5), "curve": np.zeros(3), "options": Namespace(rate=0.1)}
    torch.save({"state_dict": module.state_dict(), **others}, tmp_path / "checkpoint.pt")
    assert sl.load_any(tmp_path / "checkpoint.pt").layers == (sl.LSTM(2, 3),)


USERS_FILE = """
import torch

class MyNet(torch.nn.Module):
    def __init__(self, hidden=8):
        super().__init__()
        self.lstm = torch.nn.LSTM(2, hidden, batch_first=True)
        self.fc1 = torch.nn.Linear(hidden, 4)
        self.fc2 = torch.nn.Linear(4, 1)

    def forward(self, x):
        return self.fc2(torch.relu(self.fc1(self.lstm(x)[0])))
"""


def test_the_weights_of_a_module_of_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streamlstm.convert.torch.user_module import import_module_class

    (tmp_path / "users_net.py").write_text(USERS_FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    module = import_module_class("users_net:MyNet", {"hidden": 6})
    other = type(module)(hidden=6).eval()
    state = {f"model.{key}": value for key, value in other.state_dict().items()}
    torch.save({"model": state, "optimizer": {"state": {}}}, tmp_path / "w.pt")
    model = sl.from_torch(tmp_path / "w.pt", module=module)
    x = torch.randn(1, STEPS, 2)
    with torch.no_grad():
        expected = other(x)[0].numpy()
    assert difference(model, x[0].numpy(), expected) < TOLERANCE
    assert model.metadata["compared"].startswith("its forward")
    assert "not compared" not in repr(model)
    with pytest.raises(ConvertError, match=r"not those of MyNet: .*size mismatch for lstm"):
        sl.from_torch(state, module=import_module_class("users_net:MyNet", {}))
    for reference, arguments, words in (
        ("users_net", {}, "expected package.file:Class"),
        ("absent_net:MyNet", {}, "importing absent_net failed: ModuleNotFoundError"),
        ("users_net:Other", {}, "has no Other; it has MyNet"),
        ("users_net:MyNet", {"size": 1}, r"cannot be made with --args \{'size': 1\}: TypeError"),
    ):
        with pytest.raises(ConvertError, match=words):
            import_module_class(reference, arguments)


def test_first_line_of_a_message_without_colours() -> None:
    from streamlstm.convert.common.frameworks import first_line

    assert first_line(ValueError("\n\x1b[1;31mno such thing\x1b[0m.\nmore")) == "no such thing."
    assert first_line(EOFError()) == "EOFError"
