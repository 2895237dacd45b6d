"""``streamlstm fleet reload``: changes the model of all workers."""

from pathlib import Path
from typing import Annotated, Any

from typer import Option

from .options import FILE, Endpoints, Json, ask


def reload(
    anew: Annotated[
        bool,
        Option(
            "--anew",
            help="Accept any model; all streams start from a fresh state and keep their sequence "
            "numbers.",
        ),
    ] = False,
    at_once: Annotated[
        bool,
        Option("--at-once", help="Let all workers switch together, not one after the other."),
    ] = False,
    endpoints: Endpoints = FILE,
    json: Json = False,
) -> None:
    """Make all workers switch to the current content of the model file; no message is lost.

    Replace the file atomically first: write the new file beside it, then mv. All workers prepare
    the new model before the first one switches; if one refuses it, nothing changes. Options are
    otherwise those of streamlstm reload.

    \b
    Example:
      streamlstm fleet reload
      streamlstm fleet reload --at-once --anew
    """  # noqa: D301 - \b keeps the lines of the example apart
    done = reload_fleet(endpoints, anew, at_once)
    if json:
        from json import dumps

        print(dumps(done))
        return
    result = done["result"]
    changed = "; ".join(result["changed"]) or "nothing, it is the same model"
    print(f"model {result['model'][:8]} replaces {result['before'][:8]}; changed: {changed}")
    print("all streams were reset" if anew else "all streams continue with their state")
    print(f"workers: {', '.join(done['done'])}")
    if done["said"]:
        print(f"started again, as it could not switch: {done['said']}")


def reload_fleet(endpoints: Path, anew: bool, at_once: bool) -> dict[str, Any]:
    """Change the model of a fleet and wait until that is done; return what it says of it.

    Raises
    ------
    ModelError
        If the model was refused: nothing has changed.
    """
    from contextlib import nullcontext
    from time import sleep

    from streamlstm.errors import ModelError

    from ..console import err
    from .changes import LOOK_SECONDS
    from .ray_file import ray_file

    on_ray = ray_file(endpoints)
    former = None if on_ray is None else on_ray.replace_model()
    found = ask(endpoints, "reload", anew, at_once)["reload"]
    status = err.status("the workers prepare the model")
    with status if err.is_terminal else nullcontext():
        while found["state"] not in ("done", "refused"):
            sleep(LOOK_SECONDS)
            found = ask(endpoints, "status")["reload"]
            if found["state"] == "switches":
                status.update(f"switched: {', '.join(found['done']) or 'none yet'}")
    if found["state"] == "refused":
        if on_ray is not None and former is not None:
            on_ray.fleet().replace_model(former)
        raise ModelError(f"reload: no worker has changed its model. {found['said']}")
    return dict(found)
