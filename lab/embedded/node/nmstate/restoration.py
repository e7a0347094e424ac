"""Where a rollback leads to: a transition back, restricted to what the apply had touched.

Pure. OVN and pods go on changing the node meanwhile: what is theirs stays as it is now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from lab.embedded.node.nmstate.model import Host

T = TypeVar("T")


def restoration(checkpoint: Host, planned: Host, now: Host) -> Host:
    """``now`` with everything that the step checkpoint -> planned had changed put back as in ``checkpoint``."""
    links = _put_back(checkpoint.links, planned.links, now.links)
    bridges = dict(now.bridges)
    for name in {*checkpoint.bridges, *planned.bridges}:
        was, meant, found = checkpoint.bridges.get(name), planned.bridges.get(name), now.bridges.get(name)
        if was == meant:
            continue
        if was is None:
            bridges.pop(name, None)
        elif found is None or meant is None:
            bridges[name] = was
        else:
            bridges[name] = replace(was, ports=_put_back(was.ports, meant.ports, found.ports))
    touched = {name for name in links if checkpoint.links.get(name) != planned.links.get(name)}
    routes = {r for r in now.routes if r in checkpoint.routes or r not in planned.routes}
    routes |= {r for r in checkpoint.routes if r not in planned.routes or r.dev in touched}
    return Host(
        links=links,
        bridges=bridges,
        mappings=dict(sorted(_put_back(checkpoint.mappings, planned.mappings, now.mappings).items())),
        routes=frozenset(r for r in routes if r.dev in links),
        dhcp=(now.dhcp - (planned.dhcp - checkpoint.dhcp)) | checkpoint.dhcp,
        dns_servers=checkpoint.dns_servers,
        dns_search=checkpoint.dns_search,
        filters=now.filters,
    )


def _put_back(was: Mapping[str, T], meant: Mapping[str, T], found: Mapping[str, T]) -> dict[str, T]:
    result = dict(found)
    for name in {*was, *meant}:
        if was.get(name) == meant.get(name):
            continue
        if name in was:
            result[name] = was[name]
        else:
            result.pop(name, None)
    return result
