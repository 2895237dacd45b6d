"""``streamlstm keys``: make and show the keys of workers and clients."""

from pathlib import Path
from typing import Annotated

from typer import Argument, BadParameter, Option


def keys(
    action: Annotated[str, Argument(metavar="new|show", help="Make a key, or show one.")],
    what: Annotated[str, Argument(metavar="NAME|FILE", help="The new key's name; or a key file.")],
    out: Annotated[Path, Option(help="Folder to write NAME.key and NAME.pub to.")] = Path(),
    role: Annotated[
        str, Option(help="all, read-only or publish-only: what a worker lets the owner do.")
    ] = "all",
) -> None:
    """Make a key for a worker or a client, or show whose a key is.

    NAME.key is secret and stays with its owner; NAME.pub may go to anyone. A worker takes a folder
    of its clients' .pub files, and each client the worker's. docs/security.md tells more.

    \b
    Example:
      streamlstm keys new worker
      streamlstm keys new pump-7 --out clients --role publish-only
      streamlstm keys show worker.pub
    """  # noqa: D301 - \b keeps the lines of the example apart
    from streamlstm.client.keys import Role, load_key, new_key

    from .console import err

    if action == "new":
        if role not in list(Role):
            raise BadParameter(f"expected {', '.join(Role)}, got {role}", param_hint="--role")
        for path in new_key(what, out, Role(role)):
            err.print(f"wrote {path}", markup=False)
        return
    if action != "show":
        raise BadParameter(f"expected new or show, got {action}", param_hint="new|show")
    key = load_key(what)
    print(f"name    {key.name}\npublic  {key.public}\nrole    {key.role}")
