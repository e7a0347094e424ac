"""Manifests gone wrong, applied to a whole lab as kubectl applies them: admitted and acted upon, or refused in words.

Whatever comes, nothing of the lab falls over (its logs have no traceback), each policy and each pod ends in some state
that is told, and afterwards the documented policy and a documented VM work as ever.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.access.client import Client
from lab.access.kinds import EVENT, NAMESPACE, NNCP, POD, VM, Obj
from lab.core.deadline import Deadline
from lab.core.errors import LabError, WaitTimeout
from lab.kubevirt import vm
from lab.nmstate import policy
from lab.topology.manifests import Manifests
from tests import hostile
from tests.conftest import ROOT, RunningLab

pytestmark = pytest.mark.lab
EXAMPLES, PLACE = 25, "hostile"
MANIFESTS = Manifests(ROOT / "features/localnet/manifests")
POLICY = MANIFESTS["nncp-ovs-br1-vlan-trunk"]
NAD = MANIFESTS["nad-vlan-2024"]
GUEST, RESIDENT = MANIFESTS["vm-a"], MANIFESTS["resident"]
ENDED_S, TOLD_S = 90.0, 45.0


@pytest.fixture(scope="module")
def client(lab: RunningLab) -> Iterator[Client]:
    found = Client.connect(Path(lab.virtlab("kubeconfig").stdout.split()[-1]))
    found.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE}})
    yield found
    # What was sent here on purpose is not held against what the harness may send.
    lab.audit_log.unlink()


@pytest.fixture
def sound(lab: RunningLab) -> Callable[[], None]:
    """Fails when a log of the lab has a traceback."""
    logs = Path(lab.env["XDG_STATE_HOME"]) / "virtlab/labs" / lab.env["VIRTLAB_NAME"] / "logs"

    def check() -> None:
        for log in logs.glob("*.log"):
            text = log.read_text(errors="replace")
            at = text.find("Traceback (most recent call last)")
            assert at < 0, f"{log.name}: {text[max(0, at - 500) : at + 3000]}"

    return check


def placed(body: Any) -> Any:
    """In the namespace of the bench, where its metadata can say so."""
    if isinstance(body, dict) and isinstance(body.get("metadata"), dict):
        body["metadata"]["namespace"] = PLACE
    return body


def applied(client: Client, body: Any) -> bool:
    """As ``kubectl apply --server-side``; False: refused, in words."""
    # What is no object at all does not even leave the client.
    with contextlib.suppress(LabError, KeyError, TypeError, AttributeError):
        client.apply(body, force=True)
        return True
    return False


def until(found: Callable[[], Any], what: str, seconds: float) -> None:
    deadline = Deadline.after(seconds)
    while not found():
        assert not deadline.expired, f"nothing is told of {what} after {seconds:g} s"
        threading.Event().wait(0.25)


@hostile.few(EXAMPLES)
@given(data=st.data())
def test_policies(client: Client, sound: Callable[[], None], data: st.DataObject) -> None:
    state = data.draw(hostile.mutated(POLICY["spec"]["desiredState"]))
    body = {**POLICY, "spec": {**POLICY["spec"], "desiredState": state}}
    try:
        policy.apply(client, body, deadline=Deadline.after(ENDED_S))
    except WaitTimeout as error:
        pytest.fail(f"the policy did not end: {error}: {json.dumps(state)[:2000]}")
    except LabError:
        pass
    finally:
        client.delete(NNCP, POLICY["metadata"]["name"], wait=Deadline.after(ENDED_S))
    sound()


@hostile.few(EXAMPLES)
@given(data=st.data())
def test_attachments_and_pods_that_want_them(client: Client, sound: Callable[[], None], data: st.DataObject) -> None:
    config = data.draw(hostile.mutated(json.loads(NAD["spec"]["config"]) | {"netAttachDefName": f"{PLACE}/vlan-2024"}))
    wanted = [{"name": "vlan-2024", "mac": "02:00:00:20:24:99", "interface": "net1"}]
    notes = {"k8s.v1.cni.cncf.io/networks": json.dumps(data.draw(st.one_of(st.just(wanted), hostile.mutated(wanted))))}
    applied(client, placed({**NAD, "metadata": {"name": "vlan-2024"}, "spec": {"config": json.dumps(config)}}))
    spec = {**RESIDENT["spec"], "containers": [{**RESIDENT["spec"]["containers"][0], "command": ["sleep", "600"]}]}
    pod = placed({**RESIDENT, "metadata": {"name": "resident", "annotations": notes}, "spec": spec})
    if not applied(client, pod):
        return

    def told() -> bool:
        events = [e for e in client.list(EVENT, PLACE) if e.get("involvedObject", {}).get("name") == "resident"]
        running = (client.get(POD, "resident", PLACE).get("status") or {}).get("phase") == "Running"
        return running or any(event.get("type") == "Warning" for event in events)

    until(told, f"a pod with {notes} and {config}", TOLD_S)
    client.delete(POD, "resident", PLACE, wait=Deadline.after(ENDED_S))
    for event in client.list(EVENT, PLACE):
        client.delete(EVENT, event["metadata"]["name"], PLACE)
    sound()


@hostile.few(EXAMPLES)
@given(data=st.data())
def test_machines(client: Client, sound: Callable[[], None], data: st.DataObject) -> None:
    bad = placed(data.draw(hostile.mutated(GUEST)))
    if applied(client, bad):
        name = bad["metadata"]["name"]

        def told() -> bool:
            status: Obj = client.get(VM, name, PLACE).get("status") or {}
            return bool(status.get("printableStatus"))

        until(told, f"VM {name}", TOLD_S)
        client.delete(VM, name, PLACE, wait=Deadline.after(ENDED_S))
    sound()


def test_all_works_as_ever(client: Client, sound: Callable[[], None]) -> None:
    policy.apply(client, POLICY, deadline=Deadline.after(ENDED_S))
    config = json.dumps(json.loads(NAD["spec"]["config"]) | {"netAttachDefName": f"{PLACE}/vlan-2024"})
    client.apply(placed({**NAD, "metadata": {"name": "vlan-2024"}, "spec": {"config": config}}), force=True)
    client.create(placed({**GUEST, "metadata": {"name": "good"}}))
    vm.wait_running(client, PLACE, "good", deadline=Deadline.after(180))
    with contextlib.suppress(LabError):
        client.delete(NAMESPACE, PLACE, wait=Deadline.after(ENDED_S))
    policy.take_back(client, POLICY, deadline=Deadline.after(ENDED_S))
    sound()
