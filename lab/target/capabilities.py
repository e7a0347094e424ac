"""What this cluster can do, detected once; and whether a scenario's needs are met, with the reason for a person.

A need is an expression as in a scenario's tag: `workers>=2`, `nmstate`, `localnet`, `migration`, `ovn`, `faults`,
`ssh`, `console`, `networkmanager`, `outside:NAME` (a host), `outside:vlan-2024` and `outside:machine` (the outside host
in that network), `disruptive`, `drain`, `vlan:2024`, `network:machine`, `bond:bond2`, `bridge:br1`. It reports;
skipping is for the caller.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from lab.access import kinds
from lab.access.client import Client
from lab.access.errors import ApiError, Forbidden
from lab.access.kinds import Kind, Obj
from lab.core import process
from lab.core.deadline import Deadline
from lab.core.errors import LabError, UsageError
from lab.target.inventory import Component, Target
from lab.target.platform import settled

_COUNT = re.compile(r"(?P<what>workers)\s*(?P<op>>=|<=|==|=|>|<)\s*(?P<number>\d+)")
_NAMED = re.compile(r"(?P<what>outside|vlan|network|bond|bridge|image):(?P<name>[\w.-]+)")


MAKE_S = 300.0


@dataclass(frozen=True)
class Feature:
    """Whether something is there; `detail` is a version when it is, the reason when it is not."""

    present: bool
    detail: str


@dataclass(frozen=True)
class Capabilities:
    """`workers` are the schedulable ones; `features` by name; `facts` go into the report (versions, counts)."""

    target: Target
    workers: tuple[str, ...]
    features: dict[str, Feature]
    facts: dict[str, str] = field(default_factory=dict)
    _made: dict[str, Feature] = field(default_factory=dict)
    """What the target has a command for, once that was run."""

    def meets(self, need: str) -> tuple[bool, str]:
        """(met, reason); the reason words wanted and found, also when met. Raises UsageError (no such need)."""
        need = need.strip()
        if match := _COUNT.fullmatch(need):
            return self._counted(need, match["op"], int(match["number"]))
        if match := _NAMED.fullmatch(need):
            return self._named(match["what"], match["name"])
        feature = self._make(need) if need in self.target.lab.needs else self.features.get(need)
        if feature is None:
            known = ", ".join(
                [
                    *sorted(self.features),
                    "workers>=N",
                    "outside:NAME",
                    "outside:vlan-ID",
                    "outside:NETWORK",
                    "vlan:ID",
                    "network:NAME",
                    "bond:NAME",
                    "bridge:NAME",
                ]
            )
            raise UsageError("a known need", f"{need!r}", "the tag @needs of a scenario", f"one of: {known}")
        return feature.present, f"{need}: {feature.detail}"

    def _make(self, need: str) -> Feature:
        """What came of the target's command for a need."""
        if need not in self._made:
            argv = self.target.lab.needs[need]
            said = f"`{' '.join(argv)}`"
            try:
                result = process.run(argv, deadline=Deadline.after(MAKE_S))
            except LabError as error:
                self._made[need] = Feature(False, f"{said}: {error.headline}")
            else:
                last = (result.output.strip().splitlines() or ["it said nothing"])[-1]
                found = f"{said} ended with {result.exit_code}: {last}"
                self._made[need] = Feature(result.ok, said if result.ok else found)
        return self._made[need]

    def unmet(self, needs: list[str]) -> list[str]:
        """The reasons of those that are not met, in order."""
        answers = [self.meets(need) for need in needs]
        return [reason for met, reason in answers if not met]

    def _counted(self, need: str, op: str, wanted: int) -> tuple[bool, str]:
        have = len(self.workers)
        met = {
            ">=": have >= wanted,
            "<=": have <= wanted,
            "==": have == wanted,
            "=": have == wanted,
            ">": have > wanted,
            "<": have < wanted,
        }[op]
        names = ", ".join(self.workers) or "none"
        return met, f"needs {need} (schedulable workers), found {have}: {names}"

    def _named(self, what: str, name: str) -> tuple[bool, str]:
        roles = self.target.nics.roles
        have = {
            "outside": [*self.target.outside, *self._with_outside()],
            "vlan": [str(n) for n in self.target.vlans],
            "network": list(self.target.networks),
            "bond": list(roles.bonds),
            "bridge": list(roles.bridges),
            "image": list(self.target.images),
        }[what]
        if name in have and what in ("vlan", "network"):
            segment = self.target.vlan(int(name)) if what == "vlan" else self.target.network(name)
            if not segment.pool[0]:
                return False, f"needs addresses for its guests in {segment}, {self.target.source} names no pool there"
        return name in have, f"needs {what} {name}, {self.target.source} has {', '.join(have) or 'none'}"

    def _with_outside(self) -> list[str]:
        """The networks that have an outside host, as needs name them."""
        vlans = [f"vlan-{segment.vlan}" for segment in self.target.vlans.values() if segment.outside]
        return [*vlans, *(name for name, segment in self.target.networks.items() if segment.outside)]

    def rows(self) -> list[tuple[str, str, str]]:
        """(name, yes | no | what there is, why) for people: what the cluster can do, then what the target names."""
        target, roles = self.target, self.target.nics.roles
        rows = [("workers", str(len(self.workers)), ", ".join(self.workers) or "none is schedulable")]
        rows += [(name, "yes" if f.present else "no", f.detail) for name, f in sorted(self.features.items())]
        lists: dict[str, Sequence[str]] = {
            "VLANs": [str(n) for n in target.vlans],
            "networks": list(target.networks),
            "bonds": [f"{name} ({', '.join(nics)})" for name, nics in roles.bonds.items()],
            "bridges": [f"{name} ({', '.join(nics)})" for name, nics in roles.bridges.items()],
        }
        return rows + [
            (name, str(len(have)), ", ".join(have) or f"{target.source} names none") for name, have in lists.items()
        ]

    def brief(self) -> list[str]:
        """Two lines for the start of a run: what is there, and what is not with the reason."""
        have = [name for name, feature in sorted(self.features.items()) if feature.present]
        lack = [f"{name} ({f.detail})" for name, f in sorted(self.features.items()) if not f.present]
        first = f"{len(self.workers)} workers; {', '.join(have) or 'nothing else'}"
        return [first, *([f"not there: {'; '.join(lack)}"] if lack else [])]


def detect(client: Client, target: Target) -> Capabilities:
    """Asks the cluster once, and settles what the target leaves open about its platform.

    Raises ApiDown and AccessDenied; anything else that is missing becomes a Feature.
    """
    target = settled(client, target)
    nodes = client.list(kinds.NODE, labels=target.node_selector)
    workers = tuple(sorted(n["metadata"]["name"] for n in nodes if schedulable(n)))
    nmstate = _operator(client, "kubernetes-nmstate", kinds.NNCP, target.platform.nmstate)
    multus = _kind(client, "Multus", kinds.NAD)
    kubevirt = _kubevirt(client)
    ovn = _ovn(client, target)
    features = {
        "nmstate": nmstate,
        "multus": multus,
        "kubevirt": kubevirt,
        "ovn": ovn,
        "localnet": _all(nmstate, multus, ovn),
        "migration": _migration(kubevirt, workers),
        "console": kubevirt,
        "ssh": _ssh(kubevirt, target),
        "faults": _commands(target, target.faults, "faults"),
        "outside": Feature(bool(target.outside), ", ".join(target.outside) or f"{target.source} names no outside host"),
        "disruptive": _allowed(target, "allow-disruptive", target.allow_disruptive),
        "drain": _allowed(target, "allow-drain", target.allow_drain),
        "lab": _commands(target, target.lab.up, "lab.up"),
        # kubernetes-nmstate configures nodes through it (docs/deployment-arbitrary-cluster.md).
        "networkmanager": nmstate,
    }
    shares = f"{len(workers)} of {len(nodes)} schedulable: {', '.join(workers)}"
    facts = {
        "cluster": client.server, "kubernetes": client.version(), "kubevirt": kubevirt.detail,
        "platform": target.platform.type, "target": f"{target.name} ({target.source})", "workers": shares,
    }  # fmt: skip
    found = Capabilities(target, workers, features, facts)
    facts["can"], *lack = found.brief()
    facts |= {"cannot": lack[0].removeprefix("not there: ")} if lack else {}
    return found


def schedulable(node: Obj) -> bool:
    """Ready, not cordoned, without a NoSchedule or NoExecute taint."""
    spec = node.get("spec") or {}
    taints = [t for t in spec.get("taints") or [] if t.get("effect") in ("NoSchedule", "NoExecute")]
    ready = kinds.condition(node, "Ready").get("status") == "True"
    return ready and not spec.get("unschedulable") and not taints


def _kind(client: Client, name: str, kind: Kind) -> Feature:
    return Feature(True, f"{name} is installed") if client.serves(kind) else Feature(False, f"{name} is not installed")


def _operator(client: Client, name: str, kind: Kind, component: Component) -> Feature:
    found = _kind(client, name, kind)
    if not found.present:
        return found
    if not component.namespace:
        return Feature(False, f"{name}: no pods {component.labels} in any namespace that may be looked at")
    pods = _running(client, component)
    where = f"pods {component.labels} in namespace {component.namespace}"
    return Feature(bool(pods), f"{name}: {len(pods)} running {where}" if pods else f"{name}: no running {where}")


def _running(client: Client, component: Component) -> list[Obj]:
    try:
        pods = client.list(kinds.POD, component.namespace, labels=component.labels)
    except ApiError:
        return []
    return [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Running"]


def _kubevirt(client: Client) -> Feature:
    if not client.serves(kinds.VM):
        return Feature(False, "KubeVirt is not installed")
    if not client.serves(kinds.KUBEVIRT):
        return Feature(True, "version unknown")
    try:
        found = client.list(kinds.KUBEVIRT)
    except Forbidden as error:
        return Feature(True, f"version unknown: {error.found.splitlines()[0]}")
    status = (found[0].get("status") or {}) if found else {}
    if status.get("phase") != "Deployed":
        return Feature(False, f"KubeVirt is not deployed: phase {status.get('phase', 'unknown')!r}")
    return Feature(True, str(status.get("observedKubeVirtVersion") or "version unknown"))


def _ovn(client: Client, target: Target) -> Feature:
    component = target.platform.ovn
    if not component.namespace:
        return Feature(False, f"no pods {component.labels} in any namespace that may be looked at")
    pods = _running(client, component)
    where = f"pods {component.labels} in namespace {component.namespace}"
    if not pods:
        return Feature(False, f"no running {where}")
    have = {c["name"] for c in pods[0]["spec"].get("containers") or []}
    missing = sorted(set(component.containers.values()) - have)
    if missing:
        name = pods[0]["metadata"]["name"]
        return Feature(False, f"{name} has containers {sorted(have)}, not {missing} (platform.ovn.containers)")
    return Feature(True, f"{len(pods)} running {where}")


def _migration(kubevirt: Feature, workers: tuple[str, ...]) -> Feature:
    if not kubevirt.present:
        return kubevirt
    if len(workers) < 2:
        return Feature(False, f"needs 2 schedulable workers, found {len(workers)}")
    return Feature(True, f"{len(workers)} workers")


def _ssh(kubevirt: Feature, target: Target) -> Feature:
    """A guest without pod network is reached through an outside host of its VLAN; one with it, by port-forward."""
    if not kubevirt.present:
        return kubevirt
    hosts = [host.name for host in target.outside.values() if host.connect]
    return Feature(True, f"by port-forward, or through {', '.join(hosts)}" if hosts else "by port-forward only")


def _allowed(target: Target, key: str, allowed: bool) -> Feature:
    return Feature(allowed, f"{target.source} says {key}: {'true' if allowed else 'false'}")


def _commands(target: Target, argv: tuple[str, ...], key: str) -> Feature:
    return Feature(bool(argv), " ".join(argv) if argv else f"{target.source} names no command under `{key}`")


def _all(*features: Feature) -> Feature:
    missing = [f.detail for f in features if not f.present]
    return Feature(not missing, "; ".join(missing) or "; ".join(f.detail for f in features))
