"""A cluster of many zones at the wire, as a process of its own: its work must not count as the client's.

``python -m tests.bench.zones ZONES SLOWEST`` prints the API's address and serves until its stdin ends.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.unit.ovn.livecluster import cluster
from tests.unit.ovn.nbworld import nbctl_json, tables
from tests.unit.ovn.routes_world import World

SLOW = 7
"""The zone that takes longest."""


def main(zones: int, slowest: float) -> None:
    """Each zone has a VM that moved to the next one; answers are made beforehand, as nodes make their own."""
    world = World(zones)
    for owner in range(zones):
        world.migrate(world.start(owner, 0)[0], (owner + 1) % zones)
    texts = [nbctl_json(tables(world, zone, pods=False)) for zone in range(zones)]
    with cluster(world, Path(tempfile.mkdtemp())) as (there, _):
        there.output = lambda zone: (texts[zone], 0)
        there.delay = lambda zone: slowest if zone == SLOW else slowest * (0.1 + 0.3 * zone / zones)
        print(there.api.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
