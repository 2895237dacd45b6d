"""A detector scores any series from its first rows on; the commands that make and use it."""

import csv
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from streamlstm import Engine, Model, Online, cli, detector
from streamlstm.errors import StreamLSTMError

from ..contract.models import staged

ROWS, SPIKE = 700, 600


def wave(level: float = 60.0, spread: float = 5.0, seed: int = 0) -> np.ndarray:
    """A wave with noise, and one value far from it."""
    rng = np.random.default_rng(seed)
    values = level + spread * (np.sin(np.arange(ROWS) / 10) + 0.1 * rng.standard_normal(ROWS))
    values[SPIKE] += 3 * spread
    return values.astype(np.float32)


def run(*arguments: object, status: int = 0) -> str:
    shown = CliRunner().invoke(cli.app, [str(part) for part in arguments], terminal_width=200)
    if status == 0:
        assert shown.exit_code == 0, shown.output
    else:
        assert shown.exit_code != 0 or isinstance(shown.exception, StreamLSTMError)
        return f"{shown.output}{shown.exception}"
    return shown.output


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two series, one of them a thousand times the other, with an empty cell."""
    path = tmp_path / "waves.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "pump", "value"])
        for t, (low, high) in enumerate(zip(wave(), wave(6e4, 5e3, 1), strict=True)):
            for name, value in (("low", low), ("high", high)):
                writer.writerow([60 * t, name, "" if t == 300 else f"{value:.6g}"])
    return path


def test_it_is_the_same_on_every_machine() -> None:
    assert detector().fingerprint == detector(["value"]).fingerprint
    sums = [float(np.float64(array).sum()) for array in detector().arrays().values()]
    assert sum(sums) == pytest.approx(0.114575, abs=1e-5)


@pytest.mark.parametrize(("level", "spread"), [(60, 5), (6e5, 5), (-1e-3, 1e-4), (0, 1e6)])
def test_it_finds_a_spike_at_any_level(level: float, spread: float) -> None:
    stream = Engine(detector(), 2).stream("a")
    told = [stream.observe([value]) for value in wave(level, spread)]
    scores = [p.score for p in told]
    assert not any(p.alarm for p in told[:SPIKE])
    assert told[SPIKE].alarm
    assert told[SPIKE].kind in ("spike", "level", "novelty")
    assert told[SPIKE].p_value < 1e-4
    assert np.argmax(scores) == SPIKE
    assert all(p.score == 0 for p in told[:100])


def test_its_intervals_hold_what_they_say() -> None:
    stream, values = Engine(detector(intervals=[0.5, 0.9]), 2).stream("a"), wave()
    inside = {0.5: 0, 0.9: 0}
    p = stream.observe(values[:1])
    for n, value in enumerate(values[1:], start=1):
        for level in inside:
            low, high = p.interval(level)
            inside[level] += bool(n > 100 and low[0] <= value <= high[0])
        p = stream.observe([value])
    assert inside[0.5] / (ROWS - 101) == pytest.approx(0.5, abs=0.05)
    assert inside[0.9] / (ROWS - 101) == pytest.approx(0.9, abs=0.03)


def test_a_sensor_that_goes_silent_is_told() -> None:
    stream = Engine(detector(), 2).stream("a")
    for value in wave()[:300]:
        stream.observe([value])
    told = [stream.observe([None]) for _ in range(20)]
    assert sum(p.alarm for p in told) == 1
    assert told[-1].kind == "missing"


def test_several_inputs_share_the_alarm_rate() -> None:
    model = detector(["a", "b", "c"], alarm_rate=3e-4)
    assert model.online is not None
    assert model.online.alarm_rate == 3e-4
    assert model.targets == (0, 1, 2)
    p = Engine(model, 2).observe("s", [1, None, 3])
    assert (p.filled, p.y.shape) == (1, (3,))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"inputs": []}, "layer|inputs|name"),
        ({"inputs": ["a", "a"]}, "every name once"),
        ({"inputs": [3]}, "names"),
        ({"intervals": [1.0]}, "between 0 and 1"),
        ({"alarm_rate": 1.0}, "below 0.05"),
    ],
)
def test_what_is_no_detector_is_refused(arguments: dict, words: str) -> None:
    with pytest.raises(StreamLSTMError, match=words):
        detector(**arguments)


def test_detect_lists_alarms_and_writes_scores(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    said = run("detect", table, "--stream-column", "pump", "--out", out)
    assert "2 alarms" in said
    assert "low" in said
    assert "high" in said
    header, *rows = list(csv.reader(out.read_text().splitlines()))
    assert header == ["time", "pump", "score", "p_value", "alarm", "kind"]
    assert len(rows) == 2 * ROWS
    assert [row[0] for row in rows if row[4] == "1"] == [str(60 * SPIKE)] * 2
    again = run("detect", table, "--stream-column", "pump", "--out", tmp_path / "scores.csv.gz")
    assert "2 alarms" in again


def test_detect_of_a_table_without_alarms(tmp_path: Path) -> None:
    path = tmp_path / "quiet.csv"
    path.write_text("value\n" + "\n".join(f"{value:.6g}" for value in wave()[:SPIKE]))
    assert run("detect", path).strip().endswith("0 alarms")
    assert "no-such" in run("detect", path, "--column", "no-such", status=1)
    assert "below 0.05" in run("detect", path, "--alarm-rate", "1", status=1)
    assert "missing.csv" in run("detect", tmp_path / "missing.csv", status=1)


def test_online_adds_changes_shows_and_removes(tmp_path: Path) -> None:
    first, second, third = (tmp_path / f"{n}.safetensors" for n in range(3))
    plain = staged(Online()).with_online(None)
    plain.save(first)
    assert "no online stage" in run("online", first)
    said = run("online", first, "--intervals", "0.9,0.5", "--anomaly", "--out", second)
    assert "intervals" in said
    assert "c is c, 2 steps later" in said
    assert f"written to {second}" in said.replace("\n", "")
    assert Model.load(second).online == Online(intervals=(0.5, 0.9), anomaly=True)
    assert Model.load(first).online is None
    run("online", second, "--no-anomaly", "--adapt", "mix", "--lower", "0", "--out", third)
    assert Model.load(third).online == Online(intervals=(0.5, 0.9), adapt="mix", lower=0.0)
    assert "0.5, 0.9" in run("online", third)
    run("online", third, "--remove", "--out", second)
    assert Model.load(second).fingerprint == plain.fingerprint


def test_every_option_of_the_command_reaches_the_file(tmp_path: Path) -> None:
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    staged(Online()).with_online(None).save(first)
    run(
        "online", first, "--out", second, "--fill", "predict", "--max-gap", 7, "--scale", "stream",
        "--adapt", "rls", "--season", 24, "--labels", 9, "--intervals", "0.8", "--side", "upper",
        "--lower=-5", "--upper", 5, "--anomaly", "--alarm-rate", 0.001,
    )  # fmt: skip
    assert Model.load(second).online == Online(
        fill="predict", max_gap=7, scale="stream", adapt="rls", season=24, labels=9,
        intervals=(0.8,), side="upper", lower=-5.0, upper=5.0, anomaly=True, alarm_rate=0.001,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--intervals", "0.9"], "--out"),
        (["--remove"], "--out"),
        (["--remove", "--anomaly", "--out", "x"], "leave out anomaly"),
        (["--intervals", "much", "--out", "x"], "expected levels such as 0.5,0.9"),
        (["--intervals", "2", "--out", "x"], "between 0 and 1"),
        (["--fill", "often", "--out", "x"], "one of refuse"),
        (["--labels", "5", "--out", "x"], "labels from outside serve to adapt"),
    ],
)
def test_wrong_options_are_refused_and_nothing_is_written(
    tmp_path: Path, options: list[str], words: str
) -> None:
    first = tmp_path / "a.safetensors"
    staged(Online()).with_online(None).save(first)
    options = [str(tmp_path / "x") if option == "x" else option for option in options]
    assert words in " ".join(run("online", first, *options, status=1).split())
    assert list(tmp_path.iterdir()) == [first]
