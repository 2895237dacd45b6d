"""Does a fleet lose, mix up or double anything? Random trouble under load, then verification.

    python -m benchmarks.fleet_torture [--rounds 200] [--streams 2000] [--store lmdb|redis]
        [--ray | --machines] [--seed N] [--json [FILE]]

As benchmarks.torture, with a fleet in place of the worker. Each round kills a worker, the
supervisor, the gateway or a publisher with SIGKILL, stops a worker for a while, cuts connections,
moves partitions, changes the number of workers, or changes the model of all of them and perhaps
kills one meanwhile; or the store fails: Redis is killed or stopped for longer than leases run, or
loses everything under workers that have it in memory; the disk under folders of LMDB is full, or
they are deleted under workers that live. Or all of it but the change of the model.

With --ray the fleet is on three machines of a Ray cluster, each a session of processes here.
Machines are killed, or stopped and wake again; agents and Ray's head are killed; the rest as above.
With --machines the three have no Ray: they are lost, also the one that leads, or stand still and
wake.
"""

from .live.fleet_chaos import FleetChaosRun
from .live.machine_chaos import MachineChaosRun
from .live.ray_chaos import RayChaosRun
from .torture import main

if __name__ == "__main__":
    others = {"--ray": RayChaosRun, "--machines": MachineChaosRun}
    main("fleet_torture", __doc__, FleetChaosRun, others)
