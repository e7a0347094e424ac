"""What the file leaves open about the platform, found by a look at the cluster: OpenShift or not, where OVN-Kubernetes,
kubernetes-nmstate and KubeVirt run, and how OVN's containers are called there.

What the file says is never replaced, and what is not found stays open: whoever needs it says so then.
"""

from __future__ import annotations

from dataclasses import replace

from lab.access.client import Client
from lab.access.errors import Forbidden
from lab.access.kinds import POD, Kind, Obj
from lab.target.inventory import Component, Platform, Target

OPENSHIFT = Kind("config.openshift.io/v1", "ClusterVersion")
NAMESPACES = {
    "ovn": ("openshift-ovn-kubernetes", "ovn-kubernetes"),
    "nmstate": ("openshift-nmstate", "nmstate"),
    "kubevirt": ("openshift-cnv", "kubevirt", "kubevirt-hyperconverged"),
}
"""Where to look when not all namespaces may be listed."""
ROLES = {"nb": ("nbdb", "nb-ovsdb"), "sb": ("sbdb", "sb-ovsdb"), "controller": ("ovn-controller",)}
"""Containers by role: OpenShift's name (cluster-network-operator), then upstream's (its charts and kind scripts)."""


def settled(client: Client, target: Target) -> Target:
    """The target with its platform filled in. Raises as settled_platform."""
    found = settled_platform(client, target.platform)
    return target if found == target.platform else replace(target, platform=found)


def settled_platform(client: Client, own: Platform) -> Platform:
    """*own* with what it leaves open filled in. Raises ApiDown, Unauthorized."""
    return Platform(
        own.type or ("openshift" if client.serves(OPENSHIFT) else "kubernetes"),
        _component(client, "ovn", own.ovn),
        _component(client, "nmstate", own.nmstate),
        _component(client, "kubevirt", own.kubevirt),
    )


def _component(client: Client, name: str, own: Component) -> Component:
    if own.namespace:
        return own
    pods = _pods(client, name, own.labels)
    if not pods:
        return own
    return Component(str(pods[0]["metadata"]["namespace"]), own.labels, own.containers or roles(pods[0]))


def _pods(client: Client, name: str, labels: str) -> list[Obj]:
    """In all namespaces; who may not list all of them still may in those that are known."""
    try:
        return client.list(POD, labels=labels)
    except Forbidden:
        pass
    for namespace in NAMESPACES[name]:
        try:
            if pods := client.list(POD, namespace, labels=labels):
                return pods
        except Forbidden:
            continue
    return []


def roles(pod: Obj) -> dict[str, str]:
    """Container by role, of those that a pod has."""
    have = {str(c["name"]) for c in (pod.get("spec") or {}).get("containers") or ()}
    chosen = {role: next((name for name in names if name in have), "") for role, names in ROLES.items()}
    return {role: name for role, name in chosen.items() if name}
