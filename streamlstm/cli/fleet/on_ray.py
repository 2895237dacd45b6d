"""``streamlstm fleet MODEL --ray auto``: an agent on each of several machines of a Ray cluster."""

from pathlib import Path
from typing import Annotated

from typer import Argument, BadParameter, Context, Option

from .options import FILE, say


def on_ray(
    context: Context,
    ray: Annotated[
        str,
        Option(
            metavar="ADDRESS",
            help="auto, or HOST:PORT of the cluster's head; this machine has to be one of the "
            "cluster.",
        ),
    ],
    store: Annotated[
        str, Option(help="redis://HOST:PORT, with ?prefix=NAME, which all machines reach.")
    ],
    model: Annotated[str | None, Argument(metavar="MODEL", help="Model file, here.")] = None,
    machines: Annotated[int, Option(min=1, help="On how many machines.")] = 1,
    workers_per_machine: Annotated[
        int, Option(min=1, max=1024, help="How many workers on each; as many CPUs are taken.")
    ] = 2,
    ray_label: Annotated[
        list[str] | None,
        Option(metavar="KEY=VALUE", help="Only machines that have this label in Ray; repeat."),
    ] = None,
    router: Annotated[
        str, Option(help="As for one machine; * in place of its address is that of each machine.")
    ] = "tcp://*:*",
    endpoints: Annotated[
        Path, Option(help="Write where the fleet is to this JSON file when ready.")
    ] = FILE,
) -> None:
    """Start a fleet on machines of a Ray cluster, and return when it serves.

    It goes on without this command, until streamlstm fleet down. Further options are those of
    streamlstm fleet, for each machine; paths in them, as of keys, are paths there.

    \b
    Example:
      streamlstm fleet model.safetensors --ray auto --machines 3 --workers-per-machine 8 \\
          --store redis://10.0.0.5:6379 --key /etc/streamlstm/fleet.key --allow /etc/streamlstm
      streamlstm fleet scale --machines 4
      streamlstm fleet down
    """  # noqa: D301 - \b keeps the lines of the example apart
    from streamlstm.errors import BadValueError
    from streamlstm.fleet.endpoints import claimed
    from streamlstm.fleet.on_ray.file import control_of
    from streamlstm.fleet.on_ray.plan import Plan, place_of

    from ..serve.model import check_served, load_served
    from .ray_file import RayFile
    from .status import show

    if store.partition(":")[0] not in ("redis", "rediss", "unix"):
        raise BadParameter(f"--store: expected redis://HOST:PORT, which all reach, got {store!r}")
    file = check_served(model, "--detector" in context.args)
    load_served(file, model)
    names = [] if file is not None or model is None else [model]  # of a detector's inputs
    labels = dict(_label(text) for text in ray_label or [])
    arguments = [*names, f"--store={store}", f"--router={router}", *context.args]
    with claimed(endpoints) as target:
        plan = Plan(
            None if file is None else file.read_bytes(),
            *(workers_per_machine, labels, arguments),
            *(str(target), control_of(ray, place_of(store))),
        )
        on_ray = RayFile(
            target, ray, place_of(store), None if file is None else str(file.absolute())
        )
        fleet = on_ray.fleet()
        if there := fleet.agents():
            on_ray.ask("status")
            raise BadValueError(
                f"--ray {ray}: the fleet of this store is there already, {len(there)} machines; "
                f"{endpoints} says again where. Change it (streamlstm fleet scale --machines N), "
                "or end it (streamlstm fleet down)"
            )
        fleet.add(machines, plan, say)
        show(on_ray.ask("status"), as_json=False)


def _label(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not (key and sign and value):
        raise BadParameter(f"--ray-label: expected KEY=VALUE, got {text!r}")
    return key, value


def down(
    endpoints: Annotated[Path, Option("--endpoints", help="The file that it wrote.")] = FILE,
) -> None:
    """End a fleet that was started with --ray, on all machines; each commits what it has.

    \b
    Example:
      streamlstm fleet down
    """  # noqa: D301 - \b keeps the lines of the example apart
    from typer import Exit

    from streamlstm.fleet.endpoints import read_fleet

    from .ray_file import ray_file

    on_ray = ray_file(endpoints)
    if on_ray is None:
        raise BadParameter(
            f"{endpoints}: that fleet was not started with --ray; it ends with its process "
            f"{read_fleet(endpoints)['pid']}: Ctrl-C there, or SIGTERM"
        )
    fleet = on_ray.fleet()
    machines = len(fleet.agents())
    ended_well = fleet.end()
    endpoints.unlink(missing_ok=True)
    say(f"{machines} machines have ended" if ended_well else "some did not commit all they had")
    if not ended_well:
        raise Exit(1)
