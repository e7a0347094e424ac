"""Judging the routes of a running cluster around a scenario: does every OVN zone send a VM's packets where it runs?

It judges routes, which is no proof that packets arrive; steps that send packets stand beside it. It changes nothing.
"""

from __future__ import annotations

from lab.access.client import Client
from lab.core import facts
from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentBroken, ProductFailure
from lab.core.wait import Periodic
from lab.ovn.audit import Result
from lab.ovn.findings import INFO, Finding
from lab.ovn.live import audit_cluster, judge, take
from lab.ovn.report import details, document
from lab.target.inventory import Component

PATIENCE_S = 15.0
"""Seconds that zones may take to follow a move; on large clusters controllers lag behind by some."""
_AGAIN_S = 1.0
MOST = 200
"""VMs of one audit that the record keeps; findings are kept whole."""


class WrongRoutes(ProductFailure):
    """`zones` are those whose routes are wrong; `first` is the worst finding, in one line."""

    def __init__(self, wanted: str, findings: list[Finding]) -> None:
        found = []
        for finding in findings:
            zones = ", ".join(finding.zones) or "no zone"
            found.append(f"{finding.severity} {finding.kind} {finding.subject} in {zones}")
            found += [f"  {line}" for line in details(finding) if not line.startswith("remedy")]
        remedies = dict.fromkeys(remedy for finding in findings for remedy in finding.remedies)
        super().__init__(wanted, "\n".join(found), "", "\n".join(remedies))
        self.zones = frozenset(zone for finding in findings for zone in finding.zones)
        self.first = found[0]


def every_zone_routes(
    client: Client, component: Component, namespace: str, vm: str, *, deadline: Deadline, patience_s: float = PATIENCE_S
) -> Result:
    """Returns the audit when every zone of the cluster routes all addresses of the VM to the node it runs on.

    Zones that are wrong at first are read again for *patience_s*: they follow a move one after the other.

    Raises:
        WrongRoutes: zones are still wrong; names VM, addresses, zones, routes and remedies.
        EnvironmentBroken: a zone could not be read, or no address of the VM is known, so that there is no verdict.
    """
    until = deadline.sub(patience_s)
    again = Periodic(_AGAIN_S, "a database announces no change over the Kubernetes API")
    while True:
        result = judge(client, take(client, component, deadline=deadline))
        addresses = _captured(result, namespace, vm)
        wrong = [f for f in result.about(addresses) if f.severity != INFO or f.kind == "MIGRATING"]
        if not wrong:
            _tell(vm, result)
            return result
        if until.expired:
            _tell(vm, result)
            wanted = f"every OVN zone to route VM {namespace}/{vm} ({', '.join(addresses)}) to its node"
            raise WrongRoutes(wanted, wrong)
        again.wait(until.remaining())


def clean(client: Client, component: Component, *, deadline: Deadline) -> Result:
    """The audit of the whole cluster, when there is no fault. Raises as :func:`every_zone_routes`."""
    result = audit_cluster(client, component, deadline=deadline)
    _tell("routes", result)
    _captured(result)
    if result.faults:
        raise WrongRoutes("no fault in the routes of any OVN zone", result.faults)
    return result


def _captured(result: Result, namespace: str = "", vm: str = "") -> list[str]:
    """The VM's addresses, once it is sure that absent findings mean something."""
    absent = [f.subject for f in result.findings if f.kind == "ZONE_NOT_CAPTURED"]
    if unread := sorted({*result.capture.unusable, *absent}):
        why = "; ".join(f"{where}: {text}" for where, text in result.capture.notes[:5])
        raise EnvironmentBroken("the routes of every OVN zone", f"not read: {', '.join(unread)}", why)
    addresses = sorted(result.capture.facts.addresses(namespace, vm)) if vm else []
    if vm and not addresses:
        raise EnvironmentBroken(
            f"an address of VM {namespace}/{vm} on the pod network",
            "no VMI and no launcher pod that runs shows one",
            f"namespace {namespace}",
            "is the VM Running, with an interface on the pod network?",
        )
    return addresses


def _tell(subject: str, result: Result) -> None:
    """The whole audit, for the record, with the VMs that it knew."""
    known = result.capture.facts
    vms = [
        {"vm": name, "address": address, "node": known.runner(address)}
        for address in known.by_address
        if known.alive(address) and (name := known.vm(address))
    ]
    facts.tell(subject, facts.Routes(document(result), tuple(vms[:MOST])))
