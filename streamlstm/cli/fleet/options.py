"""Options that the commands of a fleet have in common, and how they reach it."""

from pathlib import Path
from typing import Annotated, Any

from typer import Option

FILE = Path("fleet.json")  # in the current folder, so that nobody has to name it
Endpoints = Annotated[Path, Option("--endpoints", help="The file that the fleet wrote.")]
Json = Annotated[bool, Option("--json", help="Print one JSON object.")]
Wait = Annotated[bool, Option("--wait/--no-wait", help="Wait until it is done, or return at once.")]


def ask(endpoints: Path, *question: Any) -> dict[str, Any]:
    """Return the status of the fleet after a question (streamlstm/fleet/question.py)."""
    from streamlstm.fleet.question import ask

    from .ray_file import ray_file

    on_ray = ray_file(endpoints)
    return ask(endpoints, *question) if on_ray is None else on_ray.ask(*question)


def say(line: str) -> None:
    """Tell a person what goes on, on stderr."""
    from ..console import err

    err.print(line, markup=False)
