"""``streamlstm online``: gives a model file an online stage, or shows the one it has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, BadParameter, Option

if TYPE_CHECKING:
    from streamlstm.network.model import Model


def online(
    model: Annotated[Path, Argument(metavar="MODEL", help="A model file.")],
    out: Annotated[
        Path | None, Option("--out", help="The model file to write; left out, nothing is written.")
    ] = None,
    fill: Annotated[
        str | None,
        Option(
            help="What takes the place of missing values: refuse, last, mean, zero, predict; one "
            "word, or one for each input with commas between."
        ),
    ] = None,
    targets: Annotated[
        str | None,
        Option(
            help="For each output the input that it forecasts, by name, with commas between; - for "
            "none."
        ),
    ] = None,
    max_gap: Annotated[
        int | None, Option(help="After so many missing values in a row nothing is predicted.")
    ] = None,
    calendar: Annotated[
        str | None,
        Option(
            help="Compute the network's last inputs from the event time: some of hour, weekday, "
            "yearday (two inputs each) and since, in this order, or none; it must have been "
            "trained with them."
        ),
    ] = None,
    zone: Annotated[str | None, Option(help="Time zone of the calendar: Europe/Berlin.")] = None,
    spacing: Annotated[
        float | None, Option(help="Usual seconds between observations, for since.")
    ] = None,
    scale: Annotated[
        str | None, Option(help="model: constants of training; stream: each stream's own.")
    ] = None,
    adapt: Annotated[
        str | None, Option(help="none, mix (of naive forecasts), rls (and a head that learns).")
    ] = None,
    season: Annotated[int | None, Option(help="Steps of a season, for --adapt.")] = None,
    labels: Annotated[
        int | None, Option(help="Accept labels from outside for so many last observations.")
    ] = None,
    intervals: Annotated[
        list[str] | None, Option(help="Levels of intervals, such as 0.5,0.9; may be repeated.")
    ] = None,
    side: Annotated[str | None, Option(help="Sides of the intervals: both, upper, lower.")] = None,
    lower: Annotated[float | None, Option(help="What the outputs are never below.")] = None,
    upper: Annotated[float | None, Option(help="What the outputs are never above.")] = None,
    anomaly: Annotated[
        bool | None, Option("--anomaly/--no-anomaly", help="Score observations, and give alarms.")
    ] = None,
    alarm_rate: Annotated[
        float | None, Option(help="At most so many false alarms a row; 0.0001 by default.")
    ] = None,
    remove: Annotated[bool, Option("--remove", help="Take the whole online stage away.")] = False,
) -> None:
    """Add prediction intervals, anomaly scores and more to a model, without training it again.

    Options that are left out keep what the model has. Its streams can continue with the new file
    only if it keeps the same numbers of each of them; otherwise `reload --anew` restarts them.

    \b
    Example:
      streamlstm online model.safetensors --intervals 0.9 --anomaly --adapt rls --out better.safetensors
      streamlstm online model.safetensors
    """  # noqa: D301, E501 - \b keeps the lines of the example apart
    from streamlstm.cli.output_path import check_output
    from streamlstm.network.model import Model

    network = Model.load(model)
    options = {
        "fill": tuple(fill.split(",")) if fill and "," in fill else fill,
        "targets": None if targets is None else _targets(network, targets),
        "max_gap": max_gap,
        "calendar": None if calendar is None else _calendar(calendar),
        "zone": zone,
        "spacing": spacing,
        "scale": scale,
        "adapt": adapt,
        "season": season,
        "labels": labels,
        "intervals": None if intervals is None else _levels(intervals),
        "side": side,
        "lower": lower,
        "upper": upper,
        "anomaly": anomaly,
        "alarm_rate": alarm_rate,
    }
    chosen = {name: value for name, value in options.items() if value is not None}
    if remove and chosen:
        raise BadParameter(f"--remove takes everything away; leave out {', '.join(chosen)}")
    if (remove or chosen) and out is None:
        raise BadParameter("name the model file to write with --out")
    if remove or chosen:
        network = network.with_online(None if remove else _changed(network, chosen))
    _show(network)
    if out is not None:
        network.save(check_output("--out", out))
        print(f"written to {out}")


def _levels(given: list[str]) -> tuple[float, ...]:
    try:
        return tuple(sorted({float(word) for words in given for word in words.split(",")}))
    except ValueError:
        raise BadParameter(
            f"expected levels such as 0.5,0.9, got {','.join(given)}", param_hint="--intervals"
        ) from None


def _calendar(given: str) -> tuple[str, ...]:
    return () if given == "none" else tuple(given.split(","))


def _targets(network: Model, given: str) -> tuple[int, ...]:
    names = given.split(",")
    for name in names:
        if name != "-" and name not in network.inputs:
            raise BadParameter(
                f"expected inputs of the model ({', '.join(network.inputs)}) or -, got {name}",
                param_hint="--targets",
            )
    return tuple(-1 if name == "-" else network.inputs.index(name) for name in names)


def _changed(network: Model, chosen: dict[str, Any]) -> Any:
    from streamlstm.network.online import Online, without_effect

    had = {} if network.online is None else network.online.to_dict()
    if "zone" in chosen or "calendar" in chosen:
        had.pop("transitions", None)  # of the zone it had
    useless = set(without_effect(had | chosen)) - chosen.keys()  # of what it had
    return Online(**({name: had[name] for name in had.keys() - useless} | chosen))


def _show(network: Model) -> None:
    """Print what the stage does, and what a stream costs."""
    from rich.table import Table

    from streamlstm.backends.plan import row_layout
    from streamlstm.cli.console import console
    from streamlstm.network.calendar_inputs import names_of

    size, plain = (4 * row_layout(m)[1] for m in (network, network.with_online(None)))
    if network.online is None:
        print("no online stage: a step answers with outputs alone")
    else:
        table = Table("online stage", "")
        for name, value in network.online.options().items():
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            table.add_row(name, shown)
        aims = (
            f"{name} is {network.inputs[target]}, {network.horizon} steps later"
            for name, target in zip(network.outputs, network.targets, strict=True)
            if target >= 0
        )
        if computed := names_of(network.online):
            table.add_row("computed from the time", ", ".join(computed))
            table.add_row("an observation", ", ".join(network.inputs))
        table.add_row("compared with what comes", "\n".join(aims) or "nothing")
        console.print(table)
    print(f"a stream takes {size:,} bytes, {plain:,} of them for the network")
