"""Where pods go, and the texts when there is no place."""

from __future__ import annotations

from typing import Any

import pytest
from operator_samples import Obj, node, pod

from lab.embedded.operators.placement import World, decide, wants_scheduling

NODES = [node("worker-1"), node("worker-2"), node("worker-3")]
HOST = "kubernetes.io/hostname"


def anti(selector: dict[str, str], kind: str = "podAntiAffinity") -> Obj:
    term = {"labelSelector": {"matchLabels": selector}, "topologyKey": HOST}
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def labelled(name: str, where: str, labels: dict[str, str], phase: str = "Running") -> Obj:
    found = pod(name, where, phase)
    found["metadata"]["labels"] = labels
    return found


def test_spreads_by_fewest_pods_and_then_by_name() -> None:
    assert decide(pod(), World.of(NODES, [])).node == "worker-1"
    assert decide(pod(), World.of(NODES, [pod("a", "worker-1")])).node == "worker-2"


def test_finished_pods_do_not_count() -> None:
    done = pod("a", "worker-1", "Succeeded")
    assert decide(pod(), World.of(NODES, [done])).node == "worker-1"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"nodeSelector": {"zone": "mars"}},
            "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.",
        ),
        (
            {"containers": [{"resources": {"requests": {"bridge.network.kubevirt.io/br1": "1"}}}]},
            "0/3 nodes are available: 3 Insufficient bridge.network.kubevirt.io/br1.",
        ),
        (
            {"containers": [{"resources": {"requests": {"cpu": "9", "memory": "17Gi"}}}]},
            "0/3 nodes are available: 3 Insufficient cpu, 3 Insufficient memory.",
        ),
    ],
)
def test_says_why_there_is_no_node(spec: dict[str, Any], message: str) -> None:
    assert decide(pod(**spec), World.of(NODES, [])).message == message


def test_no_nodes_at_all() -> None:
    assert decide(pod(), World.of([], [])).message == "no nodes available to schedule pods"


def test_reasons_are_counted_per_node() -> None:
    nodes = [node("worker-1"), node("worker-2", ready="Unknown"), {**node("worker-3"), "spec": {"unschedulable": True}}]
    decision = decide(pod(nodeSelector={"zone": "mars"}), World.of(nodes, []))
    assert decision.message == (
        "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, "
        "1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }, 1 node(s) were unschedulable."
    )


def test_tolerations() -> None:
    tainted = {**node("worker-1"), "spec": {"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}}
    refused = decide(pod(), World.of([tainted], []))
    assert refused.message == "0/1 nodes are available: 1 node(s) had untolerated taint {k: v}."
    for toleration in ({"operator": "Exists"}, {"key": "k", "value": "v"}, {"key": "k", "operator": "Exists"}):
        assert decide(pod(tolerations=[toleration]), World.of([tainted], [])).node == "worker-1"


def test_anti_affinity_both_ways() -> None:
    launcher = labelled("a", "worker-1", {"kubevirt.io/created-by": "u"})
    mine = pod(affinity=anti({"kubevirt.io/created-by": "u"}))
    assert decide(mine, World.of(NODES[:1], [launcher])).message == (
        "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules."
    )
    assert decide(mine, World.of(NODES, [launcher])).node == "worker-2"
    guarded = pod("b", "worker-1", "Running", affinity=anti({"app": "x"}))
    newcomer = labelled("c", "", {"app": "x"}, "Pending")
    assert decide(newcomer, World.of(NODES[:1], [guarded])).message == (
        "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules."
    )


def test_a_completed_launcher_keeps_nobody_away() -> None:
    done = labelled("a", "worker-1", {"kubevirt.io/created-by": "u"}, "Succeeded")
    assert decide(pod(affinity=anti({"kubevirt.io/created-by": "u"})), World.of(NODES[:1], [done])).node == "worker-1"


def test_pod_affinity_and_its_first_pod() -> None:
    near = labelled("a", "worker-3", {"app": "x"})
    wanted = labelled("b", "", {"app": "x"}, "Pending")
    wanted["spec"]["affinity"] = anti({"app": "x"}, "podAffinity")
    assert decide(wanted, World.of(NODES, [near])).node == "worker-3"
    assert decide(wanted, World.of(NODES, [])).node == "worker-1"
    wanted["metadata"]["labels"] = {}
    assert "didn't match pod affinity rules" in decide(wanted, World.of(NODES, [])).message


def test_node_affinity_required_and_preferred() -> None:
    def term(*values: str) -> Obj:
        return {"matchExpressions": [{"key": HOST, "operator": "In", "values": list(values)}]}

    affinity = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term("worker-2", "worker-3")]},
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 5, "preference": term("worker-3")}],
        }
    }
    assert decide(pod(affinity=affinity), World.of(NODES, [])).node == "worker-3"


def test_extended_resources_are_used_up() -> None:
    single = node("worker-1")
    single["status"]["allocatable"]["bridge.network.kubevirt.io/br1"] = "1"
    asks = {"containers": [{"resources": {"limits": {"bridge.network.kubevirt.io/br1": "1"}}}]}
    assert decide(pod(**asks), World.of([single], [])).node == "worker-1"
    taken = World.of([single], [pod("other", "worker-1", "Running", **asks)])
    assert "Insufficient bridge.network.kubevirt.io/br1" in decide(pod(**asks), taken).message


def test_which_pods_are_ours() -> None:
    assert wants_scheduling(pod())
    assert not wants_scheduling(pod(node="worker-1"))
    assert not wants_scheduling(pod(schedulerName="other"))
