"""Policies that cannot be, on a lab: who refuses them, in which words, and that nothing of them stays on the nodes.

What the platform refuses is applied without the harness's own look at the NICs, so that its reason is what is read.
nmstate itself lets a NIC be taken from one controller to another without a word (handle_changed_ports in nmstate's
inter_ifaces_controller.rs): that one only the harness refuses.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.access.client import Client
from lab.access.kinds import NNCP
from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentBroken, WaitHopeless
from lab.target.inventory import load
from lab.topology import snapshot
from lab.topology.site import Site
from tests.conftest import ROOT, RunningLab

pytestmark = [pytest.mark.lab, pytest.mark.slow]
WORKERS = ("worker-1", "worker-2", "worker-3")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A lab whose nmstate gives up at the first failure, as releases up to 0.84 do."""
    folder = tmp_path_factory.mktemp("bad")
    made = RunningLab({"XDG_STATE_HOME": str(folder), "VIRTLAB_NAME": f"bad{os.getpid()}"}, folder)
    up = made.virtlab("up", "--nmstate", "0.83")
    assert up.returncode == 0, up.stderr
    try:
        found = Client.connect(Path(made.virtlab("kubeconfig").stdout.strip()))
        snapshot.refresh(found, WORKERS)
        yield found
    finally:
        made.virtlab("down", "--purge")


@pytest.fixture
def site(client: Client, tmp_path: Path) -> Iterator[Site]:
    """A site that must leave the nodes as they were: its end compares them."""
    made = Site(client, load(ROOT / "targets" / "embedded.yaml"), "bad", WORKERS, tmp_path)
    yield made
    made.close()
    assert client.list(NNCP) == []


def policy(name: str, *interfaces: dict[str, Any]) -> dict[str, Any]:
    spec = {"nodeSelector": {}, "desiredState": {"interfaces": list(interfaces)}}
    kind = {"apiVersion": NNCP.api_version, "kind": NNCP.kind}
    return kind | {"metadata": {"name": name}, "spec": spec}


def bond(name: str, *ports: str) -> dict[str, Any]:
    return {"name": name, "type": "bond", "state": "up", "link-aggregation": {"mode": "802.3ad", "port": list(ports)}}


def bridge(name: str, *ports: str) -> dict[str, Any]:
    return {"name": name, "type": "linux-bridge", "state": "up", "bridge": {"port": [{"name": p} for p in ports]}}


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (
            policy("two-bonds", bond("bond8", "enp6s0f0", "enp6s0f1"), bond("bond9", "enp6s0f1")),
            "InvalidArgument: Port enp6s0f1 is overbooked by two controller: bond9, bond8",
        ),
        (
            policy("no-port", bridge("br9", "enp99s0")),
            "InvalidArgument: Controller interface br9 is holding unknown port enp99s0",
        ),
        (
            policy("no-mode", {"name": "bond9", "type": "bond", "link-aggregation": {"port": ["enp6s0f0"]}}),
            "Bond mode is mandatory for new bond interface: bond9",
        ),
    ],
    ids=lambda value: value["metadata"]["name"] if isinstance(value, dict) else "",
)
def test_what_the_platform_refuses_is_told_with_node_and_reason(
    site: Site, wanted: dict[str, Any], reason: str
) -> None:
    with pytest.raises(WaitHopeless) as raised:
        site.ensure_policy(wanted, checked=False)
    text = str(raised.value)
    assert reason in text
    assert any(f"on {worker}: FailedToConfigure" in text for worker in WORKERS)


@pytest.mark.parametrize(
    "second",
    [policy("second", bond("bond9", "enp6s0f1", "enp7s0f0")), policy("second", bridge("br9", "enp6s0f1"))],
    ids=["bond", "bridge"],
)
def test_a_nic_of_another_policy_is_refused_by_name_before_it_is_taken(site: Site, second: dict[str, Any]) -> None:
    site.ensure_policy(policy("first", bond("bond8", "enp6s0f0", "enp6s0f1")))
    with pytest.raises(EnvironmentBroken) as raised:
        site.ensure_policy(second)
    text = str(raised.value)
    assert "enp6s0f1 on worker-1 is a port of bond8" in text
    assert "virtlab nics" in text
    assert site.client.find(NNCP, "second") is None


def test_a_bridge_over_a_missing_port_is_refused_with_the_nics_that_there_are(site: Site) -> None:
    with pytest.raises(EnvironmentBroken, match="worker-1 has no enp99s0, but enp1s0"):
        site.ensure_policy(policy("no-port", bridge("br9", "enp99s0")))


def test_a_name_that_another_manager_holds_is_left_to_it(site: Site) -> None:
    site.client.apply(policy("theirs"), field_manager="somebody-else")
    try:
        with pytest.raises(EnvironmentBroken, match="no run of virtlab made it"):
            site.ensure_policy(policy("theirs", bridge("br9", "enp7s0f1")))
        assert site.client.get(NNCP, "theirs")["metadata"]["generation"] == 1
    finally:
        site.client.delete(NNCP, "theirs", wait=Deadline.after(20))
