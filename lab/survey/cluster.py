"""Checks of the cluster itself: kinds, versions, operators, nodes, clocks, and who else is at work on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from lab.access.client import Client
from lab.access.kinds import (
    KUBEVIRT,
    LEASE,
    MIGRATION_POLICY,
    NAD,
    NNCE,
    NNCP,
    NNS,
    POD,
    VM,
    VMI,
    VMIM,
    Obj,
    condition,
)
from lab.core.errors import LabError
from lab.survey.findings import Finding, bad, good, unknown
from lab.target.capabilities import schedulable
from lab.target.inventory import Component, Target
from lab.topology import lease
from lab.topology.clean import leftovers

SKEW_S = 5.0
NODE_LEASES = "kube-node-lease"
NEEDED = {
    NNCP: "install the kubernetes-nmstate operator",
    NNCE: "install the kubernetes-nmstate operator",
    NNS: "install the kubernetes-nmstate operator",
    NAD: "install Multus",
    VM: "install KubeVirt (OpenShift Virtualization)",
    VMI: "install KubeVirt (OpenShift Virtualization)",
    VMIM: "install KubeVirt (OpenShift Virtualization)",
    MIGRATION_POLICY: "KubeVirt >= 0.50",
}
MULTUS = "app=multus"
ISSUES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")


def kinds(client: Client) -> Iterator[Finding]:
    """What a run writes and reads is served."""
    missing = [kind for kind in NEEDED if not client.serves(kind)]
    for kind in missing:
        yield bad("kinds", f"{kind} ({kind.api_version}) is not served", NEEDED[kind])
    if not missing:
        yield good("kinds", f"all {len(NEEDED)} of nmstate.io, k8s.cni.cncf.io and kubevirt.io are served")


def versions(client: Client, target: Target) -> Iterator[Finding]:
    """Of everything that a run stands on; for the record, and for whoever compares."""
    yield good("Kubernetes", f"{client.version()} ({target.platform.type})")
    parts = {"OVN-Kubernetes": target.platform.ovn, "kubernetes-nmstate": target.platform.nmstate}
    for name, component in parts.items():
        pods = client.list(POD, component.namespace, labels=component.labels) if component.namespace else []
        images = sorted({str(c.get("image")) for p in pods[:1] for c in p["spec"].get("containers") or ()})
        if images:
            yield good(name, f"image {images[0]}")
    pods = client.list(POD, labels=MULTUS)
    if pods:
        yield good("Multus", f"image {pods[0]['spec']['containers'][0].get('image')}")
    elif client.serves(NAD):
        yield unknown(
            "Multus", f"its kind is served, and there are no pods {MULTUS}", "kubectl get pods -A -l app=multus"
        )


def kubevirt(client: Client) -> Iterator[Finding]:
    """KubeVirt is deployed and says so."""
    found = client.list(KUBEVIRT) if client.serves(KUBEVIRT) else []
    if not found:
        yield bad("KubeVirt", "there is no object KubeVirt", "install KubeVirt, or create its KubeVirt object")
    for one in found:
        status = one.get("status") or {}
        version, phase = status.get("observedKubeVirtVersion", "version unknown"), status.get("phase", "unknown")
        degraded = condition(one, "Degraded")
        if phase == "Deployed" and degraded.get("status") != "True":
            yield good("KubeVirt", f"{version}, {phase}")
        else:
            said = degraded.get("message") if degraded.get("status") == "True" else ""
            yield bad("KubeVirt", f"{version}, phase {phase}. {said or ''}", "kubectl get kubevirt -A -o yaml")


def operators(client: Client, target: Target, workers: Sequence[str]) -> Iterator[Finding]:
    """Each part of the platform has a Ready pod on every worker."""
    parts = {
        "OVN-Kubernetes": ("ovn", target.platform.ovn),
        "kubernetes-nmstate": ("nmstate", target.platform.nmstate),
        "virt-handler": ("kubevirt", target.platform.kubevirt),
    }
    for name, (key, component) in parts.items():
        if not component.namespace:
            remedy = f"install it, or say in platform.{key} of the target file where it is"
            yield bad(name, f"no pods {component.labels} in any namespace that may be looked at", remedy)
            continue
        yield from _pods(client, name, key, component, workers)


def _pods(client: Client, name: str, key: str, component: Component, workers: Sequence[str]) -> Iterator[Finding]:
    pods = client.list(POD, component.namespace, labels=component.labels)
    ready = {str(pod["spec"].get("nodeName")) for pod in pods if condition(pod, "Ready").get("status") == "True"}
    where = f"pods {component.labels} in {component.namespace}"
    if lacking := [node for node in workers if node not in ready]:
        remedy = f"kubectl get pods -n {component.namespace} -l {component.labels} -o wide; or correct platform.{key}"
        yield bad(name, f"no Ready one of {where} on {', '.join(lacking)}", remedy)
        return
    have = {str(c["name"]) for c in pods[0]["spec"].get("containers") or ()} if pods else set()
    if missing := sorted(set(component.containers.values()) - have):
        yield bad(name, f"{where} have no container {', '.join(missing)}, but {', '.join(sorted(have))}",
                  f"correct platform.{key}.containers")  # fmt: skip
        return
    yield good(name, f"{where} are Ready on every worker")


def nodes(workers: Sequence[Obj], target: Target) -> Iterator[Finding]:
    """Every worker takes guests."""
    if not workers:
        remedy = "correct nodes.selector: kubectl get nodes --show-labels"
        yield bad("workers", f"no node has {target.node_selector}", remedy)
        return
    wrong = {str(node["metadata"]["name"]): found for node in workers if (found := _ailments(node))}
    for name, found in wrong.items():
        yield bad("workers", f"{name} {', '.join(found)}", f"kubectl describe node {name}")
    if not wrong:
        yield good("workers", f"{len(workers)} Ready and schedulable")


def _ailments(node: Obj) -> list[str]:
    found = [] if condition(node, "Ready").get("status") == "True" else ["is not Ready"]
    if not found and not schedulable(node):
        found.append("is cordoned or tainted")
    if (node["metadata"].get("labels") or {}).get("kubevirt.io/schedulable") == "false":
        found.append("takes no virtual machines (kubevirt.io/schedulable=false)")
    return found + [f"has {name}" for name in ISSUES if condition(node, name).get("status") == "True"]


def clocks(client: Client, workers: Sequence[str]) -> Iterator[Finding]:
    """The API's clock against ours, the workers' against the API's; figures across a disturbance need both."""
    began = datetime.now(UTC)
    date = client.transport.head("/version", wanted="the server's time").get("Date", "")
    here = began + (datetime.now(UTC) - began) / 2
    if not date:
        yield unknown("clock of the API", "its answers have no Date", "compare by hand: date -u")
        return
    # The header counts whole seconds.
    off = (parsedate_to_datetime(date) - here).total_seconds() + 0.5
    said = f"{abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} this machine's"
    if abs(off) <= SKEW_S:
        yield good("clock of the API", f"within {SKEW_S:.0f} s of this machine's")
    else:
        yield bad("clock of the API", said, "set both by NTP (chronyc tracking)")
    yield from _node_clocks(client, workers, parsedate_to_datetime(date))


def _node_clocks(client: Client, workers: Sequence[str], now: datetime) -> Iterator[Finding]:
    """A kubelet stamps its Lease with its own clock."""
    leases = {str(found["metadata"]["name"]): found.get("spec") or {} for found in client.list(LEASE, NODE_LEASES)}
    odd = []
    for name in workers:
        spec = leases.get(name)
        if spec is None or not spec.get("renewTime"):
            odd.append(f"{name} renews no Lease")
            continue
        age = (now - _moment(str(spec["renewTime"]))).total_seconds()
        if age < -SKEW_S:
            odd.append(f"{name}'s clock is {-age:.0f} s ahead of the API's")
        elif age > float(spec.get("leaseDurationSeconds") or 40) + SKEW_S:
            odd.append(f"{name} renewed its Lease {age:.0f} s ago: its clock is behind, or its kubelet is gone")
    for said in odd:
        yield bad("clocks of the workers", said, "set the workers' clocks by NTP (chronyc tracking on the node)")
    if not odd:
        yield good("clocks of the workers", "their Leases are of now")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def others(client: Client, target: Target) -> Iterator[Finding]:
    """Another run that is at work, and what earlier ones left."""
    found = client.find(LEASE, lease.NAME, lease.NAMESPACE)
    reason = lease.busy(found.get("spec") or {}, datetime.now(UTC)) if found else ""
    where = f"Lease {lease.NAMESPACE}/{lease.NAME}"
    if reason:
        yield bad("other runs", f"{where}: {reason}", "wait for it, or end it")
    else:
        yield good("other runs", f"{where} is {'held by a run that is gone' if found else 'free'}")
    left = leftovers(client).words
    if reason or not left:
        yield good("leftovers", "none" if not left else f"{len(left)} things, of the run that is at work")
    else:
        yield bad("leftovers", ", ".join(left), f"virtlab clean --target {target.source}")


def said(error: LabError) -> str:
    """What an answer that is none says, in one line."""
    return error.found.strip().splitlines()[0] if error.found.strip() else error.headline
