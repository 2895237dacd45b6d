"""Output of the demo: a live table in a terminal, one plain line a second elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from score import LEVEL, STEADY, Scoreboard, StreamScore

from streamlstm.cli.console import counted, sparkline
from streamlstm.data.host import Metric

FRAMES_PER_SECOND = 5
BAR_SAMPLES = 4  # samples whose mean is one bar of a sparkline
AROUND_THE_TABLE = 9  # lines of the terminal that are not streams
_STEADY_NOTE = f"(moves less than {100 * STEADY:g} % of its scale a second; its ratio says nothing)"
# Widths of the terminal from which on the next second's value is shown, and the interval for it.
WIDE, WIDER = 96, 118
NARROW = 78  # below that, headers and the title are short, and an alarm stands in a column's place


class Screen:
    """Draws the scoreboard during a run.

    Parameters
    ----------
    console : rich.console.Console
        The console to draw on.
    seconds : float
        Duration of the run.
    """

    def __init__(self, console: Console, seconds: float) -> None:
        self.console = console
        self.seconds = seconds
        self.interval = 1 / FRAMES_PER_SECOND if console.is_terminal else 1.0
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> Self:
        self._start = time.monotonic()
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    def draw(self, board: Scoreboard) -> None:
        """Draw the current scores."""
        passed = time.monotonic() - self._start
        if self._live:
            self._live.update(self._picture(board, min(passed, self.seconds)), refresh=True)
        else:
            self.console.print(f"{passed:5.1f} s  {_tally(board)}")

    def finish(self, board: Scoreboard) -> None:
        """Draw the final scores in a terminal; elsewhere the summary that follows has them."""
        if self._live:
            self.draw(board)

    def _picture(self, board: Scoreboard, passed: float) -> RenderableType:
        narrow = self.console.width < NARROW
        head = Table.grid(expand=True, padding=(0, 1))
        head.add_column(no_wrap=True)
        head.add_column(justify="right", no_wrap=True)
        head.add_column(width=12 if narrow else 20)
        title = "The next second" if narrow else "An LSTM predicts this machine's next second"
        head.add_row(
            Text(title, style="bold"),
            Text(f"{passed:.0f} of {self.seconds:g} s", style="dim"),
            ProgressBar(total=self.seconds, completed=passed, complete_style="cyan"),
        )
        # Wrapped, though the console prints lines as long as they are.
        tally = Text(_tally(board), "dim", no_wrap=False, overflow="fold")
        return Group("", head, "", self._table(board), "", tally)

    def _table(self, board: Scoreboard) -> Table:
        wide, wider = self.console.width >= WIDE, self.console.width >= WIDER
        narrow = self.console.width < NARROW
        predicted, compared = (
            ("predicted", "error") if narrow else ("as predicted", "vs persistence")
        )
        table = Table(box=None, expand=True, padding=(0, 1), header_style="dim")
        table.add_column("stream", no_wrap=True)
        table.add_column("now", justify="right", no_wrap=True, width=10)
        table.add_column(predicted, justify="right", no_wrap=True, width=10 if narrow else 12)
        if wide:
            table.add_column("in 1 second", justify="right", no_wrap=True, width=11)
        if wider:
            table.add_column(
                f"{100 * LEVEL:.0f} % interval", justify="right", no_wrap=True, width=21
            )
        table.add_column(compared, justify="right", no_wrap=True, width=8 if narrow else 14)
        table.add_column("" if narrow else "past, then what comes", no_wrap=True, ratio=1)
        room = max(self.console.height - AROUND_THE_TABLE, 1)
        names = _chosen(list(board.streams), room)
        taken = sum(column.width or 0 for column in table.columns) + 2 * len(table.columns)
        bars = max(self.console.width - taken - max(map(len, names), default=0), 3)
        for name in names:
            table.add_row(*_row(name, board.streams[name], self.console.width, bars))
        if len(names) < len(board.streams):
            table.add_row(Text(f"and {len(board.streams) - len(names)} more", style="dim"))
        return table


def _chosen(names: list[str], room: int) -> list[str]:
    """Choose the streams that fit; cores are left out first, as there may be hundreds."""
    if len(names) <= room:
        return names
    others = [name for name in names if not name.startswith("cpu-")]
    cores = [name for name in names if name.startswith("cpu-")]
    return [*cores[: max(room - 1 - len(others), 1)], *others][: room - 1]


def _row(name: str, score: StreamScore, width: int, bars: int) -> list[Text]:
    """Return the cells of one stream, for a terminal of this width."""
    metric = Metric.of(name)
    alarm = Text(score.alarm, "bold red") if score.alarm and width < NARROW else None
    said = f"{name}: {score.alarm}" if score.alarm and alarm is None else name
    cells = [
        Text(said, "bold red" if score.alarm else ""),
        Text(_short(metric, score.value), style="bold"),
        Text(_short(metric, score.predicted_for_now), style="magenta"),
    ]
    if width >= WIDE:
        cells.append(Text(_short(metric, score.prediction), style="magenta"))
    if width >= WIDER:
        cells.append(Text(_interval(metric, score), style="magenta"))
    return [*cells, alarm or _verdict(score), _history(metric, score, bars)]


def _short(metric: Metric, value: float | None) -> str:
    return "" if value is None else metric.text(value).replace("switches/s", "/s")


def _interval(metric: Metric, score: StreamScore) -> str:
    """Format the bounds of the next second's interval."""
    low, high = score.past[-1].low, score.past[-1].high
    return "" if low is None or high is None else f"{_short(metric, low)} - {_short(metric, high)}"


def _verdict(score: StreamScore) -> Text:
    """Format the error relative to persistence: green below it, yellow above."""
    if score.is_learning:
        return Text("learning", style="dim")
    if score.is_steady or score.ratio is None:
        return Text("steady" if score.scored else "", style="dim")
    percent = round(100 * (score.ratio - 1))
    style = "green" if percent < 0 else "yellow" if percent > 0 else "dim"
    return Text(f"{percent:+d} %".replace("-", "\N{MINUS SIGN}"), style=style)


def _history(metric: Metric, score: StreamScore, bars: int) -> Text:
    """Draw the past as bars, and the prediction as one more."""
    past = [sample.value for sample in score.past]
    # Groups are aligned to the stream's first sample, so that bars move but never change.
    start = -(score.seen - len(past)) % BAR_SAMPLES
    groups = [past[i : i + BAR_SAMPLES] for i in range(start, len(past), BAR_SAMPLES)]
    means = [sum(group) / len(group) for group in groups[-(bars - 2) :]]
    low = min(means, default=0.0) if metric.name in ("memory", "switches") else 0.0
    high = 1.0 if metric.name.startswith("cpu-") else max([*means, low + 0.02])
    drawing = Text(sparkline(means, low, high), style="cyan")
    if score.prediction is not None:
        drawing.append(" " + sparkline([score.prediction], low, high), "magenta")
    return drawing


def _tally(board: Scoreboard) -> str:
    """Format the totals in one line."""
    parts = [f"{board.observations:,} observations, {board.predictions:,} predictions"]
    if board.errors:
        parts.append(f"{len(board.errors):,} refused")
    p50, p99 = board.round_trip(50), board.round_trip(99)
    if p50 is not None and p99 is not None:
        parts.append(f"round trip {milliseconds(p50)} (p99 {milliseconds(p99)})")
    if board.is_learning:
        return " · ".join([*parts, "learning"])
    parts.append(f"error {below(board.ratio)}")
    if board.coverage is not None:
        parts.append(f"{100 * board.coverage:.0f} % inside")
    if board.alarms:
        parts.append(counted(board.alarms, "alarm"))
    return " · ".join(parts)


def milliseconds(microseconds: float) -> str:
    """Format microseconds as milliseconds."""
    return f"{microseconds / 1000:.2f} ms"


def below(ratio: float | None) -> str:
    """Format a ratio as a percentage below or above persistence."""
    if ratio is None:
        return "not known yet"
    return f"{100 * abs(1 - ratio):.0f} % {'below' if ratio <= 1 else 'above'} persistence"


def print_summary(console: Console, board: Scoreboard) -> None:
    """Print the results of the run."""
    rows = [
        ("observations", f"{board.observations:,} of {len(board.streams)} streams"),
        ("predictions", f"{board.predictions:,}, one second ahead"),
    ]
    if board.errors:
        rows.append(("refused", f"{len(board.errors):,}; the last: {board.errors[-1]}"))
    p50, p99 = board.round_trip(50), board.round_trip(99)
    if p50 is not None and p99 is not None:
        rows.append(("round trip", f"p50 {milliseconds(p50)}, p99 {milliseconds(p99)}"))
    rows.append(("error", f"{below(board.ratio)}{_ratio(board.ratio)}"))
    if board.coverage is not None:
        share = f"{100 * board.coverage:.0f} % of all values were inside the interval for them"
        rows.append(("intervals", f"{share}, which aims at {100 * LEVEL:.0f} %"))
    alarmed = [f"{name} ({n})" for name, score in board.streams.items() if (n := score.alarms)]
    rows.append(("alarms", ", ".join(alarmed) or "none"))
    moved = {name: score for name, score in board.streams.items() if not score.is_steady}
    ranked = sorted((score.ratio, name) for name, score in moved.items() if score.ratio is not None)
    if len(moved) < len(board.streams):
        rows.append(("steady", ", ".join(name for name in board.streams if name not in moved)))
        rows.append(("", _STEADY_NOTE))
    if ranked:
        rows.append(("best", f"{ranked[0][1]}, {below(ranked[0][0])}"))
        rows.append(("worst", f"{ranked[-1][1]}, {below(ranked[-1][0])}"))
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style="dim", min_width=14, no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows:
        table.add_row(name, Text(text))
    console.print()
    console.print(table)


def _ratio(ratio: float | None) -> str:
    return (
        "" if ratio is None else f" (ratio {ratio:.3f}, all streams, from the end of learning on)"
    )
