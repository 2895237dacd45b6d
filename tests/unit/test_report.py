"""The report of an evaluation: one valid file that needs no other."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import streamlstm as sl
from streamlstm.errors import DataError
from streamlstm.learn.report.figure import prediction_figure
from streamlstm.learn.report.svg import PAGE, to_svg
from streamlstm.learn.report.time_axis import place_rows
from streamlstm.learn.report.words import ahead, number, share, unit
from streamlstm.plots.style import plotting

from .evaluated import identity, recurrent, table, walk

pytest.importorskip("matplotlib", reason="needs matplotlib: make test")

VOID = {"meta", "br", "use", "path", "image", "stop"}


class Page(HTMLParser):
    """Checks that elements are closed in order, and gathers what they refer to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.words: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "action", "data", "srcset"):
                self.references.append(value)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page_of(evaluation: sl.Evaluation, tmp_path: Path) -> Page:
    path = tmp_path / "report.html"
    evaluation.report(path)
    written = path.read_text()
    page = Page(written)
    assert page.open == []
    assert all(reference.startswith("#") for reference in page.references)
    assert not re.search(r"https?:|@import|<script|<link|<img", written)
    assert all(reference[1:] in page.ids for reference in page.references)
    assert set(re.findall(r"url\(([^)]*)\)", written)) <= {f"#{name}" for name in page.ids}
    assert len(page.ids) == len(set(page.ids))
    return page


def daily(n: int = 700) -> np.ndarray:
    return (10 + np.sin(np.arange(n) * np.pi / 12) + 0.1 * walk(n)).astype(np.float32)


HOURLY = 1.7e9 + 3600.0 * np.arange(700)


def test_a_report_has_every_plot_and_says_what_they_mean(tmp_path: Path) -> None:
    data = table(time=HOURLY, **{"oil [°C]": daily()})
    model = recurrent(intervals=(0.5, 0.9), anomaly=True)
    model = sl.Model(
        model.layers, model.weights, ["oil [°C]"], ["oil [°C]"], skip=[0], online=model.online
    )
    found = replace(sl.evaluate(model, data), history=((1.0, 1.1), (0.8, 0.9), (0.7, 0.95)))
    page = page_of(found, tmp_path)
    assert page.tags.count("svg") == 7
    assert "How good the model is on made.csv" in page.text
    assert "A forecast of oil [°C], 1 row (1 h) ahead, was on average" in page.text
    assert "°C away from what came" in page.text
    assert re.search(r"of ten values \(\d+\.\d %\) fell inside the band", page.text)
    for words in ("persistence", "Errors by the hour", "share promised", "epoch", "Winkler"):
        assert words in page.text
    assert "prefers-color-scheme: dark" in page.text
    assert "var(--made)" in (tmp_path / "report.html").read_text()


def test_the_same_evaluation_gives_the_same_file(tmp_path: Path) -> None:
    found = sl.evaluate(identity(), table(value=walk()))
    for name in ("a.html", "b.html"):
        found.report(tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_without_intervals_times_and_season(tmp_path: Path) -> None:
    page = page_of(sl.evaluate(identity(), table(value=walk(60))), tmp_path)
    assert page.tags.count("svg") == 2
    assert "interval" not in page.text.split("What the columns mean")[0]
    assert "row of the table" in page.text


@pytest.mark.parametrize("rows", [2, 3, 25])
def test_few_rows(rows: int, tmp_path: Path) -> None:
    page_of(sl.evaluate(recurrent(intervals=(0.9,)), table(value=walk(rows))), tmp_path)


def test_a_constant_series_and_missing_values(tmp_path: Path) -> None:
    page = page_of(sl.evaluate(identity(), table(value=np.full(50, 2.0))), tmp_path)
    assert "0 away from what came" in page.text
    v = walk()
    v[50:90] = np.nan
    found = sl.evaluate(recurrent(fill="last", intervals=(0.9,)), table(value=v))
    assert "40 values of the inputs were missing and filled" in page_of(found, tmp_path).text


def test_an_interval_of_one_side(tmp_path: Path) -> None:
    found = sl.evaluate(recurrent(intervals=(0.9,), side="upper"), table(value=walk()))
    page_of(found, tmp_path)


def test_two_targets_of_three_horizons(tmp_path: Path) -> None:
    values = {"a": walk(), "b": walk(seed=1)}
    found = sl.evaluate(identity(("a", "b"), horizon=2), table(**values))
    page = page_of(found, tmp_path)
    assert "A forecast of a, 2 rows ahead" in page.text
    assert "A forecast of b, 2 rows ahead" in page.text


def test_of_a_thousand_streams_a_typical_one_and_the_worst_are_drawn(tmp_path: Path) -> None:
    streams = [f"<pump> & $x$ {k}" for k in range(1000)] * 4
    found = sl.evaluate(identity(), table(streams, value=walk(4000)))
    page = page_of(found, tmp_path)
    assert page.tags.count("svg") == 4
    assert "a typical series" in page.text
    assert "The 30 worst of 1,000" in page.text
    assert (tmp_path / "report.html").stat().st_size < 1_000_000


def test_names_that_look_like_html_are_text(tmp_path: Path) -> None:
    name = "<b>&amp;$x_1$"
    page = page_of(sl.evaluate(identity((name,)), table(**{name: walk(30)})), tmp_path)
    assert "b" not in page.tags
    assert name in page.text


def test_a_figure_and_what_a_notebook_shows(tmp_path: Path) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    data = table(["p", "q"] * 150, value=walk())
    found = sl.evaluate(recurrent(intervals=(0.9,)), data)
    picture = found.plot()
    assert len(picture.figure.axes) == 2
    picture.save(tmp_path / "a.png")
    assert picture._repr_png_().startswith(b"\x89PNG")
    assert found.plot("q").figure.axes[0].get_title(loc="left") == "value of q"
    with pytest.raises(DataError, match="'nobody'"):
        found.plot("nobody")
    shown = Page(found._repr_html_())
    assert shown.open == []
    assert "A forecast of value, 1 row ahead" in shown.text
    assert dict(mpl.rcParams) == before


def test_a_picture_of_names_in_any_script_is_saved_without_warnings(tmp_path: Path) -> None:
    picture = sl.evaluate(identity(("温度",)), table(温度=walk(30))).plot()
    for kind in ("png", "svg", "pdf"):
        picture.save(tmp_path / f"a.{kind}")
        picture.save(tmp_path / f"b.{kind}")
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    with pytest.raises(DataError, match=r"\.png, \.svg, \.pdf"):
        picture.save(tmp_path / "a.jpg")


def test_words() -> None:
    assert [share(x) for x in (0.9, 0.5, 0.99, 0.123)] == [
        "nine of ten", "five of ten", "99 of 100", "one of ten"
    ]  # fmt: skip
    assert [number(x) for x in (1234.5678, 123456.7, 0.00012345, float("nan"))] == [
        "1235", "123,457", "0.0001234", "\N{EN DASH}"
    ]  # fmt: skip
    assert (unit("oil (°C)"), unit("oil [bar] "), unit("oil")) == ("°C", "bar", "")
    hourly = table(time=HOURLY[:5], value=walk(5))
    assert ahead(hourly, 24) == "24 rows (1 d) ahead"
    assert ahead(table(value=walk(5)), 1) == "1 row ahead"


def test_without_matplotlib_a_sentence_says_how_to_install_it(tmp_path: Path) -> None:
    """A process in which matplotlib cannot be imported."""
    program = (
        "import sys, numpy as np\n"
        "sys.modules['matplotlib'] = None\n"
        "from tests.unit.evaluated import identity, table, walk\n"
        "import streamlstm as sl\n"
        "found = sl.evaluate(identity(), table(value=walk()))\n"
        "for use in (lambda: found.report('a.html'), found.plot):\n"
        "    try:\n        use()\n"
        "    except sl.StreamLSTMError as error:\n        print(error)\n"
        "found._repr_html_(), found.to_dict()\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("pip install matplotlib") == 2


def test_predictions_are_drawn_at_the_time_that_they_speak_of() -> None:
    data = table(["a"] * 40 + ["b"] * 40, np.tile(HOURLY[:40], 2), value=walk(80))
    results = data.values.astype(np.float32)
    picture = prediction_figure(identity(horizon=3), data, results, rows=20)
    assert [axes.get_title(loc="left") for axes in picture.figure.axes] == [
        "value of a",
        "value of b",
    ]
    forecast, came = picture.figure.axes[1].lines
    hours = np.round((forecast.get_xdata() * 86400 - HOURLY[0]) / 3600)
    np.testing.assert_array_equal(hours, np.arange(23, 43))
    np.testing.assert_array_equal(forecast.get_ydata(), data.values[60:, 0])
    np.testing.assert_array_equal(came.get_ydata()[:-3], data.values[63:, 0])
    assert np.isnan(came.get_ydata()[-3:]).all()
    unknown = identity(outputs=("y0",), horizon=0)
    picture = prediction_figure(unknown, table(value=walk(5)), results[:5])
    (forecast,) = picture.figure.axes[0].lines
    np.testing.assert_array_equal(forecast.get_xdata(), np.arange(1, 6))


def test_names_in_any_script_stay_text_without_a_warning() -> None:
    from matplotlib.figure import Figure

    with plotting(PAGE), warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = Figure()
        figure.subplots().set_title("温度")
        assert "温度" in to_svg(figure, "a")


@pytest.mark.parametrize("unit", [1, 60, 3_600, 86_400, 30 * 86_400])
def test_an_axis_of_time_has_a_few_ticks_over_any_span(unit: int) -> None:
    from matplotlib.figure import Figure

    for units in range(5, 200, 13):
        axes = Figure().subplots()
        data = table(time=[1.7e9, 1.7e9 + units * unit], value=[0, 0])
        axes.set_xlim(*place_rows(axes, data, identity(), np.arange(2)))
        assert 2 <= len(axes.xaxis.get_major_ticks()) <= 9
