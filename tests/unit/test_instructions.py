"""The comparison of instruction counts; counting itself takes minutes and is not tested."""

import pytest

from benchmarks import instructions


def row(layer: str, counted: float) -> instructions.Row:
    return {"layer": layer, "streams": "1", instructions.COUNT: counted}


def test_a_count_within_the_tolerance_is_accepted() -> None:
    assert instructions.differences([row("GRU", 5050)], [row("GRU", 5000)]) == []


@pytest.mark.parametrize(("counted", "change"), [(5150, "+3.0%"), (4850, "-3.0%")])
def test_more_and_fewer_instructions_are_both_reported(counted: float, change: str) -> None:
    (difference,) = instructions.differences([row("GRU", counted)], [row("GRU", 5000)])
    assert difference == f"GRU, 1 streams: 5000 recorded, now {counted}, {change}"


def test_a_case_on_one_side_only_is_reported() -> None:
    assert instructions.differences([row("GRU", 1)], [row("RNN", 1)]) == [
        "GRU, 1 streams: not recorded",
        "RNN, 1 streams: recorded, not counted",
    ]


def test_a_total_is_read_from_a_dump_of_callgrind() -> None:
    dump = "version: 1\nevents: Ir\nsummary: 1698\n\nfn=(1) main\n1 1698\n\ntotals: 1698\n"
    assert instructions.total(dump) == 1698
    with pytest.raises(SystemExit, match="summary"):
        instructions.total("version: 1\n")


def test_without_valgrind_nothing_is_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("sys.argv", ["instructions"])
    with pytest.raises(SystemExit) as ended:
        instructions.main()
    assert ended.value.code == 2
    assert "valgrind is not installed" in capsys.readouterr().err
