"""The example of what gates are worth, in short: it learns, its gradients differ, it draws."""

from pathlib import Path

import numpy as np
import pytest

from examples import gates_memory


def test_an_lstm_remembers_what_a_plain_network_forgets(tmp_path: Path) -> None:
    results = {(cell, 40): gates_memory.train(cell, 40, 250) for cell in ("lstm", "rnn")}
    lstm, rnn = (float(np.mean(results[cell, 40][0][-30:])) for cell in ("lstm", "rnn"))
    assert lstm < 0.5 * gates_memory.BASELINE
    assert rnn > 0.8 * gates_memory.BASELINE
    lstm, rnn = (sizes[0] / sizes[-1] for _, sizes in results.values())
    assert lstm > 5 * rnn
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install -e '.[plot]'")
    gates_memory.draw(results, tmp_path / "memory.png")
    assert (tmp_path / "memory.png").read_bytes().startswith(b"\x89PNG")
