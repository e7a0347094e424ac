"""What a policy takes from a node and its inverse must give back: the former settings of the links that it uses.

They are read from NodeNetworkState before the policy is applied, and travel with it in an annotation, so that a policy
can be taken back by whoever finds it, also after the run that made it was killed. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lab.access.kinds import Obj
from lab.core.errors import EnvironmentBroken
from lab.nmstate import manifest

ANNOTATION = "virtlab.dev/restore"
EVERY = "*"
"""Stands for all nodes of the policy, when they are alike."""
KEPT = ("name", "type", "state", "mtu")
IP_KEPT = ("enabled", "dhcp", "autoconf", "auto-dns", "auto-gateway", "auto-routes", "auto-route-table-id")

Entry = dict[str, Any]


def former(policy: Obj, states: Mapping[str, Mapping[str, Any]], before: Obj | None = None) -> dict[str, list[Entry]]:
    """Node -> the links that *policy* uses and does not make, as they are; one entry ``*`` when nodes are alike.

    *states* are ``currentState`` of NodeNetworkStates by node. *before* is the policy that stands now under the same
    name, if any: what it took already is in its annotation and no longer to be seen.

    Raises:
        EnvironmentBroken: a node already has a link that the policy would make: taking the policy back would remove it.
    """
    own = manifest.made(before) if before else set()
    known = read(before) if before else {}
    made = manifest.made(policy)
    used = manifest.touched(policy) - made - own
    found = {}
    for node, state in sorted(states.items()):
        links = [i for i in state.get("interfaces") or [] if isinstance(i, Mapping)]
        _refuse_present(policy, node, made - own, links)
        taken = known.get(node, known.get(EVERY, []))
        names = {entry["name"] for entry in taken}
        # An ovs-interface of a NIC's name is a port that a bridge made, not the NIC.
        fresh = [_entry(i) for i in links if i.get("name") in used - names and i.get("type") != "ovs-interface"]
        found[node] = [*taken, *fresh]
    alike = {json.dumps(entries, sort_keys=True) for entries in found.values()}
    return {EVERY: next(iter(found.values()))} if len(alike) == 1 else found


def _refuse_present(policy: Obj, node: str, made: set[str], links: Sequence[Mapping[str, Any]]) -> None:
    types = {str(i["name"]): i.get("type") for i in manifest.interfaces(policy)}
    there = sorted(str(i["name"]) for i in links if i.get("name") in made and i.get("type") == types[str(i["name"])])
    if there:
        raise EnvironmentBroken(
            f"no {', '.join(there)} on {node} before the policy {policy['metadata']['name']} makes it",
            "it is there, and no run of virtlab says that it made it",
            f"NodeNetworkState {node}",
            "take it away first, or run against other nodes",
        )


def _entry(link: Mapping[str, Any]) -> Entry:
    entry: Entry = {key: link[key] for key in KEPT if key in link}
    if link.get("state") != "up":
        return entry
    for family in ("ipv4", "ipv6"):
        if isinstance(link.get(family), Mapping):
            entry[family] = _addresses(link[family])
    return entry


def _addresses(config: Mapping[str, Any]) -> dict[str, Any]:
    """An IP configuration as it can be asked for: leased and link-local addresses come by themselves."""
    kept = {key: config[key] for key in IP_KEPT if key in config}
    given = [
        {"ip": a["ip"], "prefix-length": a["prefix-length"]}
        for a in config.get("address") or []
        if not str(a.get("ip", "")).lower().startswith("fe80:")
    ]
    if given and not (config.get("dhcp") or config.get("autoconf")):
        kept["address"] = given
    return kept


def written(policy: Obj, entries: Mapping[str, Sequence[Entry]]) -> Obj:
    """The policy with its annotation."""
    meta = policy["metadata"]
    text = json.dumps(entries, separators=(",", ":"), sort_keys=True)
    return {**policy, "metadata": {**meta, "annotations": {**(meta.get("annotations") or {}), ANNOTATION: text}}}


def read(policy: Obj) -> dict[str, list[Entry]]:
    """What an annotated policy gives back; nothing for one without."""
    text = (policy["metadata"].get("annotations") or {}).get(ANNOTATION, "")
    found = json.loads(text) if text else {}
    return {str(node): list(entries) for node, entries in found.items()}


def inverses(policy: Obj, hostnames: Mapping[str, str]) -> list[Obj]:
    """The policies that take one back: a single one, or one per node where nodes were different before.

    *hostnames* is node -> its label kubernetes.io/hostname.
    """
    entries = read(policy)
    if EVERY in entries or not entries:
        return [manifest.inverse(policy, entries.get(EVERY, ()))]
    found = []
    for node, mine in entries.items():
        one = written(manifest.inverse(policy, mine), {EVERY: mine})
        one["metadata"]["name"] = own_name(str(policy["metadata"]["name"]), node)
        one["spec"]["nodeSelector"] = {"kubernetes.io/hostname": hostnames.get(node, node)}
        found.append(one)
    return found


def own_name(policy: str, node: str) -> str:
    """The name of a policy for one node: a label value, so at most 63 characters."""
    return f"{policy[: 62 - len(node)]}.{node}" if len(node) < 40 else f"{policy[:22]}.{node[-40:]}".strip(".-")
