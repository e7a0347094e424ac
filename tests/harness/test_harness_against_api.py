"""The harness against a real API server process, with its operators played by the test: waits, refusals, clean-up."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.access.client import Client
from lab.access.errors import BadRequest
from lab.access.kinds import (
    CONFIGMAP,
    EVENT,
    LEASE,
    MIGRATION_POLICY,
    NAMESPACE,
    NNCE,
    NNCP,
    NNS,
    NODE,
    POD,
    VM,
    VMI,
    VMIM,
    Kind,
)
from lab.core import process
from lab.core.deadline import Deadline
from lab.core.errors import (
    ClusterBusy,
    EnvironmentBroken,
    EnvironmentTimeout,
    UsageError,
    WaitHopeless,
    WaitTimeout,
)
from lab.core.names import ownership
from lab.core.turn import Turn
from lab.core.wait import Periodic, Seen, wait_until
from lab.faults.port import FaultPort
from lab.kubevirt import interrupt, migration, migrationpolicy, vm
from lab.nmstate import policy
from lab.target.inventory import load
from lab.topology.clean import Leftovers, clean, leftovers
from lab.topology.lease import RunLease
from lab.topology.manifests import Manifests
from lab.topology.site import Site
from lab.topology.snapshot import REFRESH_LABEL

ROOT = Path(__file__).parents[2]

POLICY: dict[str, Any] = {
    "apiVersion": NNCP.api_version,
    "kind": NNCP.kind,
    "metadata": {"name": "trunk", "labels": ownership("r0")},
    "spec": {
        "nodeSelector": {"role": "worker"},
        "desiredState": {"interfaces": [{"name": "br1", "type": "ovs-bridge", "state": "up"}]},
    },
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of an API server with two workers, their nmstate handlers, and the kinds of the operators."""
    folder = tmp_path_factory.mktemp("api")
    child = subprocess.Popen(
        [sys.executable, "-m", "lab.embedded.apiserver", "--dir", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert child.stdout is not None
    path = child.stdout.readline().decode().strip()
    try:
        made = Client.connect(Path(path))
        for name in ("w1", "w2"):
            labels = {"role": "worker", "kubernetes.io/hostname": name}
            made.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})
            meta = {"name": f"handler-{name}", "namespace": "default", "labels": dict([policy.HANDLERS.split("=")])}
            spec = {"nodeName": name, "containers": [{"name": "c", "image": "i"}]}
            made.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
        yield made
    finally:
        process.stop(child)
        child.stdout.close()


class Handler:
    """nmstate's handlers: an enactment per node for each generation of the policy, with the conditions told."""

    def __init__(self, client: Client, conditions: Callable[[str, int], dict[str, str]]) -> None:
        self._client, self._conditions = client, conditions
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Handler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5)

    def _run(self) -> None:
        with self._client.watch(NNCP) as watch:
            while not self._stop.is_set():
                for found in list(watch.items.values()):
                    self._enact(found)
                watch.take(0.1)

    def _enact(self, found: dict[str, Any]) -> None:
        generation = found["metadata"]["generation"]
        for node in ("w1", "w2"):
            name = f"{node}.{found['metadata']['name']}"
            if self._client.find(NNCE, name) is None:
                labels = {policy.POLICY_LABEL: found["metadata"]["name"]}
                meta = {"name": name, "labels": labels}
                self._client.create({"apiVersion": NNCE.api_version, "kind": NNCE.kind, "metadata": meta})
            listed = [
                {"type": t, "status": s, "reason": "FailedToConfigure", "message": "NmstateError: no such NIC"}
                for t, s in self._conditions(node, generation).items()
            ]
            status = {"status": {"policyGeneration": generation, "conditions": listed}}
            self._client.patch(NNCE, name, None, status, subresource="status")


def green(node: str, generation: int) -> dict[str, str]:
    return {"Available": "True", "Failing": "False"}


def test_a_policy_is_applied_waited_for_and_taken_back(client: Client) -> None:
    with Handler(client, green):
        applied = policy.apply(client, POLICY, deadline=Deadline.after(15))
        assert applied.nodes == ("w1", "w2")
        assert policy.enactments_of(client, "trunk", applied.nodes) == {"w1": "Available", "w2": "Available"}
        policy.take_back(client, POLICY, deadline=Deadline.after(15))
    assert client.find(NNCP, "trunk") is None
    policy.take_back(client, POLICY)


def test_a_failed_enactment_ends_the_wait_early_with_node_and_reason(client: Client) -> None:
    def red(node: str, generation: int) -> dict[str, str]:
        return {"Failing": "True", "Progressing": "False"} if node == "w2" else {"Available": "True"}

    failing = {**POLICY, "metadata": {"name": "failing"}}
    with Handler(client, red), pytest.raises(WaitHopeless, match="on w2: FailedToConfigure: NmstateError"):
        policy.apply(client, failing, deadline=Deadline.after(30))
    client.delete(NNCP, "failing")


def test_the_end_of_a_failed_policy_is_when_every_node_has_ended_and_the_policy_says_so(client: Client) -> None:
    at_work = threading.Event()
    at_work.set()

    def red(node: str, generation: int) -> dict[str, str]:
        if node == "w1" and at_work.is_set():
            return {"Progressing": "True"}
        return {"Failing": "True", "Progressing": "False"}

    failing = {**POLICY, "metadata": {"name": "ending"}}
    client.apply(failing)
    with Handler(client, red):
        with pytest.raises(WaitTimeout, match="w1 Progressing, w2 Failing, no result yet"):
            policy.wait_ended(client, failing, deadline=Deadline.after(1.5))
        at_work.clear()
        with pytest.raises(WaitTimeout, match="w1 Failing, w2 Failing, no result yet"):
            policy.wait_ended(client, failing, deadline=Deadline.after(1.5))
        degraded = {"status": {"conditions": [{"type": "Degraded", "status": "True", "reason": "FailedToConfigure"}]}}
        client.patch(NNCP, "ending", None, degraded, subresource="status")
        policy.wait_ended(client, failing, deadline=Deadline.after(15))
    client.delete(NNCP, "ending")


def test_the_versions_that_have_a_kind_are_named_favourite_first(client: Client) -> None:
    assert client.discovery.versions(Kind("nmstate.io/v9", "NodeNetworkConfigurationPolicy"))[:2] == (
        "nmstate.io/v1",
        "nmstate.io/v1beta1",
    )
    assert client.discovery.versions(Kind("nmstate.io/v1", "Nothing")) == ()
    assert client.discovery.versions(Kind("nowhere.io/v1", "Nothing")) == ()
    assert client.discovery.versions(POD) == ("v1",)


def test_a_policy_for_no_node_changes_nothing_and_names_the_nodes(client: Client) -> None:
    nowhere = {**POLICY, "metadata": {"name": "nowhere"}, "spec": {**POLICY["spec"], "nodeSelector": {"role": "x"}}}
    with pytest.raises(UsageError, match="w1, w2"):
        policy.apply(client, nowhere)
    assert client.find(NNCP, "nowhere") is None


def vmi(client: Client, name: str, **status: Any) -> None:
    meta = {"name": name, "namespace": "default"}
    spec = {"domain": {"devices": {}}}
    client.create({"apiVersion": VMI.api_version, "kind": VMI.kind, "metadata": meta, "spec": spec})
    # A VirtualMachineInstance has no status subresource.
    client.patch(VMI, name, "default", {"status": status})


def test_a_vm_that_stays_out_is_reported_with_phase_and_its_pods_warning(client: Client) -> None:
    vmi(client, "stuck", phase="Scheduling", nodeName="w2")
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e1", "namespace": "default"},
        "involvedObject": {"kind": "Pod", "name": "virt-launcher-stuck-x", "namespace": "default"},
        "type": "Warning",
        "reason": "FailedCreatePodSandBox",
        "message": "failed bridge mapping validation",
        "lastTimestamp": "2026-01-01T00:00:00Z",
    }
    client.create(event)
    with pytest.raises(WaitTimeout, match=r"phase Scheduling on w2, FailedCreatePodSandBox: failed bridge mapping"):
        vm.wait_running(client, "default", "stuck", deadline=Deadline.after(1))
    client.delete(EVENT, "e1", "default")


def test_a_failed_migration_ends_with_the_platforms_reason(client: Client) -> None:
    vmi(client, "mover", phase="Running", nodeName="w1")

    def fail() -> None:
        with client.watch(VMIM, "", "default") as watch:
            while not watch.items and watch.take(10):
                pass
            [name] = [o["metadata"]["name"] for o in watch.items.values()]
        status = {"phase": "Failed", "migrationState": {"failureReason": "Target pod is down"}}
        client.patch(VMIM, name, "default", {"status": status}, subresource="status")

    thread = threading.Thread(target=fail)
    thread.start()
    with pytest.raises(WaitHopeless, match="Target pod is down"):
        migration.migrate(client, "default", "mover", to="w2", labels={}, deadline=Deadline.after(15))
    thread.join(5)


def test_a_vm_with_a_misspelt_field_is_refused_as_kubectl_has_it(client: Client) -> None:
    document = Manifests(ROOT / "features" / "localnet" / "manifests")["vm-a"]
    document["metadata"]["namespace"] = "default"
    interface = document["spec"]["template"]["spec"]["domain"]["devices"]["interfaces"][0]
    interface["macAdress"] = interface.pop("macAddress")
    with pytest.raises(BadRequest, match=r'strict decoding error: unknown field ".*interfaces\[0\].macAdress"'):
        vm.start(client, document)
    assert client.find(VM, document["metadata"]["name"], "default") is None


def test_one_run_per_cluster(client: Client) -> None:
    first = RunLease(client, "r1")
    first.acquire()
    with pytest.raises(ClusterBusy, match=r"r1 .* holds it since"):
        RunLease(client, "r2").acquire()
    first.release()
    second = RunLease(client, "r2")
    second.acquire()
    second.release()
    assert client.find(LEASE, "virtlab", "default") is None


def test_a_run_whose_cluster_was_taken_over_stops_and_leaves_it_to_the_other(client: Client) -> None:
    first, second = RunLease(client, "r1", renew_s=0.05), RunLease(client, "r2")
    first.acquire()
    since = client.get(LEASE, "virtlab", "default")["spec"]["renewTime"]
    renewed = lambda lease: Seen("", (lease or {})["spec"]["renewTime"] != since)  # noqa: E731
    client.wait_for(LEASE, "virtlab", "default", "renewed", renewed, deadline=Deadline.after(10))
    first.check()
    with pytest.raises(ClusterBusy, match="--takeover"):
        RunLease(client, "r2").acquire()
    second.acquire(takeover=True)

    def told() -> Seen[None]:
        try:
            first.check()
        except ClusterBusy as error:
            text = str(error)
            assert "the lease was taken from this run; it is held by r2" in text
            assert "Lease default/virtlab" in text
            return Seen("", met=True)
        return Seen("not yet")

    wait_until("the first run", "told", told, deadline=Deadline.after(10), changes=Periodic(0.05, "a thread"))
    first.release()
    assert client.get(LEASE, "virtlab", "default")["spec"]["holderIdentity"].startswith("r2 ")
    second.release()
    assert client.find(LEASE, "virtlab", "default") is None


def test_workers_share_the_hold_of_their_run_and_end_with_it(client: Client) -> None:
    run, worker = RunLease(client, "r1"), RunLease(client, "r1.1", renew_s=0.05)
    with pytest.raises(ClusterBusy, match="it is held by nobody"):
        RunLease(client, "r1.9").join("r1 here 1")
    run.acquire()
    since = client.get(LEASE, "virtlab", "default")
    worker.join(run.holder)
    worker.check()
    other = RunLease(client, "r2")
    other.acquire(takeover=True)

    def told() -> Seen[None]:
        try:
            worker.check()
        except ClusterBusy as error:
            return Seen(str(error), "it is held by r2" in str(error))
        return Seen("not yet")

    wait_until("the worker", "told", told, deadline=Deadline.after(10), changes=Periodic(0.05, "a thread"))
    worker.release()
    assert client.get(LEASE, "virtlab", "default")["spec"]["renewTime"] != since["spec"]["renewTime"]
    other.release()
    run.release()


def test_a_worker_holds_the_cluster_for_a_run_that_died_until_it_has_put_everything_back(client: Client) -> None:
    with subprocess.Popen(["sleep", "100"]) as died:
        holder = f"r1 {socket.gethostname()} {died.pid}"
        RunLease(client, "r1").acquire()
        client.patch(LEASE, "virtlab", "default", {"spec": {"holderIdentity": holder}})
        worker = RunLease(client, "r1.1", renew_s=0.05)
        worker.join(holder)
        died.kill()
    inherited = lambda lease: Seen("", (lease or {})["spec"]["holderIdentity"].startswith("r1.1 "))  # noqa: E731
    client.wait_for(LEASE, "virtlab", "default", "inherited", inherited, deadline=Deadline.after(10))
    with pytest.raises(ClusterBusy, match=r"r1\.1 .* holds it since"):
        RunLease(client, "r2").acquire()
    worker.check()
    worker.release()
    assert client.find(LEASE, "virtlab", "default") is None


def test_what_a_dead_worker_left_is_removed_and_the_others_keep_theirs(client: Client) -> None:
    for part in ("r5.1", "r5.2"):
        meta = {"name": f"left-{part[-1]}", "labels": ownership(part)}
        client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
    assert interrupt.cordon(client, "w1", "r5.1")
    assert clean(client, "r5.1") == ["cordon of w1", "namespace left-1"]
    assert clean(client, "r5") == ["namespace left-2"]


def test_what_a_killed_run_left_is_removed(client: Client) -> None:
    name = {"name": "left", "labels": ownership("r0")}
    client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": name})
    client.create(POLICY)
    client.apply(migrationpolicy.policy("left", {"allowPostCopy": True}, ownership("r0")))
    assert interrupt.cordon(client, "w1", "r0")
    assert leftovers(client, "r7") == Leftovers()
    with Handler(client, green):
        gone = ["cordon of w1", "namespace left", "migration policy left", "node policy trunk"]
        assert [line.partition(" (")[0] for line in leftovers(client).words] == gone
        assert clean(client, "r0") == gone
    assert client.find(NAMESPACE, "left") is None
    assert client.find(NNCP, "trunk") is None
    assert client.find(MIGRATION_POLICY, "left") is None
    node = client.get(NODE, "w1")
    assert not node["spec"].get("unschedulable")
    assert not interrupt.cordoned_by(node)
    assert client.list(POD, "default")


def test_faults_are_healed_before_anything_is_taken_back(client: Client, tmp_path: Path) -> None:
    command = tmp_path / "fault"
    command.write_text('#!/bin/sh\ncat "$(dirname "$0")/set" || echo nothing to heal\nrm -f "$(dirname "$0")/set"\n')
    command.chmod(0o755)
    (tmp_path / "set").write_text("healed: member-down node=w1 nic=a\n")
    port = FaultPort([str(command)])
    assert clean(client, faults=port) == ["faults (healed: member-down node=w1 nic=a)"]
    assert clean(client, faults=port) == []
    command.write_text("#!/bin/sh\necho no such lab >&2\nexit 1\n")
    with pytest.raises(EnvironmentBroken, match="faults: wanted"):
        clean(client, faults=port)


def test_what_cannot_be_removed_is_named_and_does_not_keep_the_rest(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.topology.clean.NAMESPACES_S", 0.5)
    held = {"name": "held", "namespace": "stuck", "finalizers": ["example.com/never"]}
    client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "stuck", "labels": ownership("r0")}})
    client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": held})
    client.create(POLICY)
    with Handler(client, green), pytest.raises(EnvironmentBroken) as raised:
        clean(client)
    text = str(raised.value)
    assert "found: namespace stuck: " in text
    assert "removed: node policy trunk" in text
    assert client.find(NNCP, "trunk") is None
    client.patch(CONFIGMAP, "held", "stuck", {"metadata": {"finalizers": None}})


def test_another_runs_policy_and_somebody_elses_cordon_are_left_alone(client: Client) -> None:
    client.create(POLICY)
    mine = {**POLICY, "metadata": {**POLICY["metadata"], "labels": ownership("r1")}}
    policy.take_back(client, mine, deadline=Deadline.after(5))
    assert client.find(NNCP, "trunk") is not None
    client.delete(NNCP, "trunk")
    client.patch(NODE, "w2", None, {"spec": {"unschedulable": True}})
    assert not interrupt.cordon(client, "w2", "r0")
    assert leftovers(client).cordoned == ()
    client.patch(NODE, "w2", None, {"spec": {"unschedulable": None}})


@pytest.fixture
def site(client: Client, tmp_path: Path) -> Iterator[Site]:
    """A site whose w2 lacks one of the target's NICs."""
    for name, nics in {"w1": ("enp7s0f0", "enp7s0f1"), "w2": ("ens3", "enp7s0f0")}.items():
        client.create({"apiVersion": NNS.api_version, "kind": NNS.kind, "metadata": {"name": name}})
        current = {"interfaces": [{"name": nic, "type": "ethernet", "state": "up"} for nic in nics]}
        client.patch(NNS, name, None, {"status": {"currentState": current}}, subresource="status")
    made = Site(client, load(ROOT / "targets" / "embedded.yaml"), "r9", ["w1", "w2"], tmp_path)
    yield made
    assert made.undo.pending == ()
    for name in ("w1", "w2"):
        client.delete(NNS, name)


def test_a_worker_without_the_targets_nics_breaks_the_environment_before_anything_is_made(
    client: Client, site: Site
) -> None:
    manifest = Manifests(ROOT / "features" / "localnet" / "manifests")["nncp-ovs-br1-vlan-trunk"]
    with pytest.raises(EnvironmentBroken) as raised:
        site.ensure_policy(manifest)
    text = str(raised.value)
    assert "wanted: the NICs enp7s0f0, enp7s0f1 for bond2 on every worker" in text
    assert "found: w2 has no enp7s0f1, but enp7s0f0, ens3" in text
    assert "targets/embedded.yaml" in text
    assert "try: correct nics.bonds.bond2 in the target file" in text
    assert client.find(NNCP, "ovs-br1-vlan-trunk") is None


def test_workers_change_nodes_in_turn_and_each_compares_with_what_it_found(
    client: Client, site: Site, tmp_path: Path
) -> None:
    path = tmp_path / "nodes.turn"
    target = load(ROOT / "targets" / "embedded.yaml")
    one, two = (Site(client, target, f"r9.{n}", ["w1", "w2"], tmp_path, turn=Turn(path, f"r9.{n}")) for n in (1, 2))
    one.undo.push("a policy of one", lambda _: None)
    one.change_nodes()
    began, done = threading.Event(), threading.Event()

    def change() -> None:
        began.set()
        two.change_nodes()
        done.set()

    waiting = threading.Thread(target=change)
    waiting.start()
    assert began.wait(5)
    assert not done.wait(1.2)
    one.close()
    assert done.wait(10)
    waiting.join()
    two.undo.push("a policy of two", lambda _: None)
    two.close()
    two.close()
    assert site.undo.pending == ()


def test_a_policy_of_somebody_else_is_left_alone(client: Client, site: Site) -> None:
    manifest = Manifests(ROOT / "features" / "localnet" / "manifests")["nncp-ovs-br1-vlan-trunk"]
    client.create(manifest)
    try:
        with pytest.raises(EnvironmentBroken) as raised:
            site.ensure_policy(manifest)
        text = str(raised.value)
        assert "wanted: the name ovs-br1-vlan-trunk for a node policy of this run" in text
        assert "found: a policy of that name exists, and no run of virtlab made it" in text
        assert client.get(NNCP, "ovs-br1-vlan-trunk")["metadata"]["generation"] == 1
    finally:
        client.delete(NNCP, "ovs-br1-vlan-trunk")


def test_what_is_left_on_a_node_is_told_with_its_place_and_both_values(
    client: Client, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.topology.snapshot.SETTLE_S", 1.0)
    site.undo.push("something that leaves a bond behind", lambda _: None)
    before = client.get(NNS, "w1")["status"]
    left = {"name": "bond9", "type": "bond", "state": "up"}
    current = {"interfaces": [*before["currentState"]["interfaces"], left]}
    client.patch(NNS, "w1", None, {"status": {"currentState": current}}, subresource="status")
    with pytest.raises(EnvironmentTimeout) as raised:
        site.close()
    assert "wanted: as it was before the feature" in str(raised.value)
    assert "w1: interfaces[bond9 bond] was null" in str(raised.value)
    assert REFRESH_LABEL in client.get(NNS, "w1")["metadata"]["labels"]


def test_nodes_that_come_back_to_what_they_were_are_waited_for(client: Client, site: Site) -> None:
    site.undo.push("something that the node reports late", lambda _: None)
    before = client.get(NNS, "w2")["status"]
    client.patch(NNS, "w2", None, {"status": {"currentState": {"interfaces": []}}}, subresource="status")
    back = threading.Timer(0.5, client.patch, (NNS, "w2", None, {"status": before}), {"subresource": "status"})
    back.start()
    site.close()
    back.join()
