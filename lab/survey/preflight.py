"""All checks before a run, in the order in which a person would ask; nothing is changed, nothing is made.

A check that the credentials do not allow is unknown, with the right that is missing; an API that does not answer ends
all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from lab.access.client import Client
from lab.access.kinds import NODE
from lab.core.errors import ApiDown, LabError
from lab.survey import cluster, fit, rights
from lab.survey.findings import Finding, bad, good, unknown
from lab.target.connect import connect
from lab.target.inventory import Target
from lab.target.platform import settled

Check = tuple[str, Callable[[], Iterable[Finding]]]


def of_cluster(target: Target) -> list[Finding]:
    """`virtlab doctor`. Raises ApiDown, AccessDenied, UsageError when the cluster cannot be asked at all."""
    client = connect(target)
    target = settled(client, target)
    nodes = client.list(NODE, labels=target.node_selector)
    names = [str(node["metadata"]["name"]) for node in nodes]
    checks: list[Check] = [
        ("versions", partial(cluster.versions, client, target)),
        ("kinds", partial(cluster.kinds, client)),
        (rights.SUBJECT, partial(rights.check, client)),
        ("KubeVirt", partial(cluster.kubevirt, client)),
        ("operators", partial(cluster.operators, client, target, names)),
        ("workers", partial(cluster.nodes, nodes, target)),
        ("migration", partial(fit.migratability, nodes)),
        ("clocks", partial(cluster.clocks, client, names)),
        ("images", partial(fit.images, target, nodes)),
        ("other runs", partial(cluster.others, client, target)),
    ]
    return [*_all(checks), *_fit(client, target)]


def of_file(target: Target) -> list[Finding]:
    """`virtlab target check`: is the cluster as the file says? Raises as of_cluster."""
    client = connect(target)
    platform = settled(client, target).platform
    known = good("platform", f"{platform.type}; OVN-Kubernetes in {platform.ovn.namespace or 'no namespace'}")
    if target.platform.type and target.platform.type != _type(client, target):
        known = bad("platform", f"the file says {target.platform.type}, the cluster is {_type(client, target)}",
                    "correct platform.type, or leave it out")  # fmt: skip
    nodes = client.list(NODE, labels=target.node_selector)
    return [known, *_all([("workers", partial(cluster.nodes, nodes, target))]), *_fit(client, target)]


def _type(client: Client, target: Target) -> str:
    from dataclasses import replace

    return settled(client, replace(target, platform=replace(target.platform, type=""))).platform.type


def _fit(client: Client, target: Target) -> list[Finding]:
    nodes = client.list(NODE, labels=target.node_selector)
    try:
        reported = fit.states(client, [str(node["metadata"]["name"]) for node in nodes])
    except LabError as error:
        reported = {}
        first = unknown("NICs", cluster.said(error), "the right to list nodenetworkstates.nmstate.io")
        return [first, *_all([("gateways", partial(fit.gateways, target)), ("faults", partial(fit.faults, target))])]
    checks: list[Check] = [
        ("NICs", partial(fit.nics, target, nodes, reported)),
        ("addresses", partial(fit.addresses, target, reported)),
        ("gateways", partial(fit.gateways, target)),
        ("faults", partial(fit.faults, target)),
    ]
    return _all(checks)


def _all(checks: Iterable[Check]) -> list[Finding]:
    found: list[Finding] = []
    for subject, check in checks:
        try:
            found += check()
        except ApiDown:
            raise
        except LabError as error:
            found.append(unknown(subject, cluster.said(error), error.advice))
    return found
