"""What the site has beyond the pages: the reference of commands, the decisions, links that end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs"
_LINK = re.compile(r"\[([^\]]*)\]\(((?:\.\./)+[^)#]*)(#[^)]*)?\)")


def on_config(config: Any) -> Any:
    """List the decisions behind the other explanations, by their titles."""
    *_, (explanation,) = (list(part.values()) for part in config["nav"])
    decisions = sorted((PAGES / "decisions").glob("*.md"))
    explanation.append({"Decisions": [f"decisions/{path.name}" for path in decisions]})
    return config


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Write the commands, and keep the text alone of links to files that are no pages."""
    if page.file.src_uri == "reference/commands.md":
        markdown += "\n".join(commands())
    here = (PAGES / page.file.src_uri).parent

    def text_of(link: re.Match[str]) -> str:
        target = (here / link[2]).resolve()
        return link[0] if target.is_relative_to(PAGES) else link[1]

    return _LINK.sub(text_of, markdown)


def commands() -> Iterator[str]:
    """Yield the reference of all commands: what ``--help`` says."""
    import typer

    from streamlstm.cli import app

    yield from _commands(typer.main.get_command(app), "streamlstm")


def _commands(command: Any, name: str) -> Iterator[str]:
    parts = getattr(command, "commands", {})
    if not parts:
        yield from _command(command, name)
    for part, found in parts.items():
        if not found.hidden:
            yield from _commands(found, f"{name} {part}")


def _command(command: Any, name: str) -> Iterator[str]:
    help_, _, example = (command.help or "").partition("\b")
    yield f"\n## {name}\n\n{_plain(help_)}\n"
    lines = [line.strip() for line in example.splitlines() if line.strip()]
    if lines:
        yield "```text\n" + "\n".join(lines[1:]) + "\n```\n"
    shown = [each for each in command.params if not getattr(each, "hidden", False)]
    if shown:
        yield "| option | |\n|---|---|"
    for parameter in shown:
        names = [each for each in parameter.opts if each.startswith("--")]
        names = names or [parameter.metavar or parameter.name.upper()]
        yield f"| {', '.join(f'`{name}`' for name in names)} | {_said(parameter)} |"


def _said(parameter: Any) -> str:
    return _plain(getattr(parameter, "help", "") or "").replace("|", "\\|").replace("\n", " ")


def _plain(text: str) -> str:
    return re.sub(r"\s*\n\s*\n\s*", "\n\n", text).strip()
