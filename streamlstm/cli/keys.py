"""``streamlstm keys``: makes and shows the CURVE keys of workers and clients."""

from pathlib import Path
from typing import Annotated

from typer import Argument, BadParameter, Option


def keys(
    action: Annotated[str, Argument(metavar="new|show", help="Make a key, or show one.")],
    what: Annotated[str, Argument(metavar="NAME|FILE", help="Name of the new key, or a key file.")],
    out: Annotated[Path, Option(help="Folder to write NAME.key and NAME.pub to.")] = Path(),
    role: Annotated[
        str, Option(help="Rights of the key's owner: all, read-only or publish-only.")
    ] = "all",
) -> None:
    """Make a key pair for a worker or a client, or show the owner of a key.

    NAME.key is secret and stays with its owner; NAME.pub may be given to anyone. A worker needs a
    folder with its clients' .pub files, and each client the worker's .pub file. See
    docs/security.md.

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
