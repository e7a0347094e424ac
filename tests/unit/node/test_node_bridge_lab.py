"""The bridge plugin on a node, with packets: pods on a Linux bridge, what the node says of its bridges, what stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.access.client import Client
from lab.access.kinds import EVENT, NAD, NODE, POD
from lab.core.deadline import Deadline
from lab.core.wait import Seen

pytestmark = pytest.mark.lab
NAME = f"br-{os.getpid()}"
# As a person has it: a lab finds its tools itself, and a test's fixtures must not change what it finds.
PLAIN = dict(os.environ)
MAC = "02:00:00:00:00:01"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("state"))


def virtlab(home: str, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "lab.embedded", *words]
    return subprocess.run(
        argv, capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL,
        cwd=Path(__file__).parents[3], env={**PLAIN, "XDG_STATE_HOME": home},
    )  # fmt: skip


@pytest.fixture(scope="module")
def client(home: str) -> Iterator[Client]:
    came = virtlab(home, "up", "--name", NAME, "--workers", "1")
    try:
        assert came.returncode == 0, came.stderr
        connected = Client.connect(Path(virtlab(home, "kubeconfig", "--name", NAME).stdout.strip()))
        yield connected
        connected.close()
    finally:
        virtlab(home, "down", "--name", NAME)


def on_node(home: str, *argv: str) -> str:
    """What a command on the node prints, once it ended well."""
    done = virtlab(home, "node", "exec", "--name", NAME, "worker-1", "--", *argv)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def network(client: Client, name: str, *plugins: dict[str, Any]) -> None:
    config = {"cniVersion": "0.3.1", "name": name, "plugins": list(plugins)}
    meta = {"name": name, "namespace": "default"}
    client.create(
        {"apiVersion": NAD.api_version, "kind": NAD.kind, "metadata": meta, "spec": {"config": json.dumps(config)}}
    )


def pod(client: Client, name: str, network: str, mac: str = "") -> None:
    wanted = json.dumps([{"name": network, **({"mac": mac} if mac else {})}])
    meta = {"name": name, "namespace": "default", "annotations": {"k8s.v1.cni.cncf.io/networks": wanted}}
    containers = [{"name": "main", "image": "any", "command": ["sleep", "600"]}]
    spec = {"containers": containers, "terminationGracePeriodSeconds": 0}
    client.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})


def running(client: Client, name: str) -> None:
    def seen(found: dict[str, Any] | None) -> Seen[bool]:
        phase = (found or {}).get("status", {}).get("phase")
        return Seen(str(phase), phase == "Running", True)

    client.wait_for(POD, name, "default", "Running", seen, deadline=Deadline.after(20))


def inside(client: Client, name: str, *argv: str) -> str:
    done = client.exec(name, "default", "main", argv, deadline=Deadline.after(20))
    return done.stdout + done.stderr


def published(client: Client, bridge: str, wanted: bool) -> None:
    resource = f"bridge.network.kubevirt.io/{bridge}"

    def seen(node: dict[str, Any] | None) -> Seen[bool]:
        status = (node or {}).get("status", {})
        amounts = [status.get(part, {}).get(resource) for part in ("capacity", "allocatable")]
        return Seen(str(amounts), amounts == (["1k", "1k"] if wanted else [None, None]), True)

    client.wait_for(NODE, "worker-1", None, f"{resource}: {wanted}", seen, deadline=Deadline.after(3))


def test_a_bridge_is_published_at_once_and_withdrawn_at_once(client: Client, home: str) -> None:
    on_node(home, "ip", "link", "add", "brx", "type", "bridge")
    published(client, "brx", True)
    on_node(home, "ip", "link", "del", "brx")
    published(client, "brx", False)


def test_pods_on_a_missing_bridge_are_alone_on_one_that_was_made_and_stays(client: Client, home: str) -> None:
    network(client, "checked", {"type": "cnv-bridge", "bridge": "made", "macspoofchk": True}, {"type": "cnv-tuning"})
    pod(client, "one", "checked", MAC)
    pod(client, "two", "checked")
    running(client, "one")
    running(client, "two")
    published(client, "made", True)
    for name, address in (("one", "10.9.9.1/24"), ("two", "10.9.9.2/24")):
        inside(client, name, "ip", "addr", "add", address, "dev", "net1")
    ping = ("ping", "-c", "2", "-i", "0.2", "-W", "1", "10.9.9.2")
    assert "2 received" in inside(client, "one", *ping)
    inside(client, "one", "ip", "link", "set", "net1", "address", "02:00:00:66:66:66")
    assert "0 received" in inside(client, "one", *ping)
    inside(client, "one", "ip", "link", "set", "net1", "address", MAC)
    assert "2 received" in inside(client, "one", *ping)
    for name in ("one", "two"):
        client.delete(POD, name, "default", wait=Deadline.after(20))
    assert on_node(home, "ip", "-br", "link", "show", "master", "made") == ""
    assert "cni-br-iface" not in on_node(home, "nft", "list", "ruleset")
    assert "made" in on_node(home, "ip", "-br", "link", "show", "type", "bridge")
    on_node(home, "ip", "link", "del", "made")


def test_tuning_is_done_in_the_pod(client: Client, home: str) -> None:
    sysctl = {"net.ipv4.conf.IFNAME.arp_notify": "1"}
    network(client, "tuned", {"type": "bridge", "bridge": "tuned", "disableContainerInterface": True},
            {"type": "tuning", "mtu": 1300, "mac": MAC, "sysctl": sysctl})  # fmt: skip
    pod(client, "three", "tuned")
    running(client, "three")
    link = inside(client, "three", "ip", "link", "show", "net1")
    assert "mtu 1300" in link
    assert MAC in link
    assert "state DOWN" in link
    assert inside(client, "three", "cat", "/proc/sys/net/ipv4/conf/net1/arp_notify").strip() == "1"
    on_node(home, "ip", "link", "del", "tuned")


def test_a_vlan_tags_or_the_pod_says_why_not(client: Client, home: str) -> None:
    network(client, "tagged", {"type": "bridge", "bridge": "tagged", "vlan": 100})
    pod(client, "four", "tagged")
    filters = virtlab(home, "node", "exec", "--name", NAME, "worker-1", "--", "ip", "link", "add", "probe", "type",
                      "bridge", "vlan_filtering", "1").returncode == 0  # fmt: skip
    if filters:
        running(client, "four")
        assert "100 PVID Egress Untagged" in on_node(home, "bridge", "vlan", "show")
        return
    why = 'error adding container to network "tagged": failed to create bridge "tagged": could not add "tagged": '
    why += "operation not supported: the bridges of this kernel do not filter VLANs (CONFIG_BRIDGE_VLAN_FILTERING)"

    def seen(found: dict[str, Any] | None) -> Seen[bool]:
        said = [c.get("message") or "" for c in (found or {}).get("status", {}).get("conditions") or []]
        return Seen(str(said), any(why in message for message in said), True)

    client.wait_for(POD, "four", "default", "the reason in a condition", seen, deadline=Deadline.after(10))
    events = [event for event in client.list(EVENT, "default") if event["reason"] == "FailedCreatePodSandBox"]
    assert any(why in event["message"] for event in events)
