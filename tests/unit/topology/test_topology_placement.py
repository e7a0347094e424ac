"""The hosted-cluster view: tables of a case from the API, and the ping from each guest."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from lab.cli import main
from lab.topology.placementtext import age
from tests.unit.access.fakeapi import kubeconfig, status
from tests.unit.guest.sshserver import SshServer
from tests.unit.ovn.livecluster import KUBEVIRT, Cluster, cluster
from tests.unit.ovn.routes_world import World

PING = """#!/bin/sh
for to; do :; done
echo "PING $to ($to) 56(84) bytes of data."
case "$to" in
lost*) echo "--- $to ping statistics ---"; echo "3 packets transmitted, 0 received, 100% packet loss"; exit 1;;
esac
for n in 1 2 3; do echo "64 bytes from $to: icmp_seq=$n ttl=99 time=98.3 ms"; done
echo "--- $to ping statistics ---"
echo "3 packets transmitted, 3 received, 0% packet loss, time 2000ms"
"""
BASE = "/apis/subresources.kubevirt.io/v1/namespaces/demo/virtualmachineinstances"


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Cluster]:
    """Two VMs; vm0 moved twice, its ended launchers still listed; a VM that is stopped."""
    world = World(3)
    for owner, path in ((0, (1, 2)), (1, ())):
        for address in world.start(owner, owner):
            for target in path:
                world.migrate(address, target)
    with cluster(world, tmp_path) as (running, _):
        machines = {"name": "virtualmachines", "kind": "VirtualMachine", "namespaced": True}
        group = {"resources": [*KUBEVIRT["resources"], machines]}
        running.api.say("GET /apis/kubevirt.io/v1", lambda r: web.json_response(group))
        stopped = {
            "metadata": {"name": "off", "namespace": "demo", "labels": {"cluster.x-k8s.io/cluster-name": "sendling"}},
            "status": {"printableStatus": "Stopped"},
        }
        items = {"metadata": {}, "items": [stopped]}
        for path_ in ("", "/namespaces/demo"):
            running.api.say(f"GET /apis/kubevirt.io/v1{path_}/virtualmachines", lambda r: web.json_response(items))
        vmis = running.api.answers["GET /apis/kubevirt.io/v1/virtualmachineinstances"]
        running.api.answers["GET /apis/kubevirt.io/v1/namespaces/demo/virtualmachineinstances"] = vmis
        running.api.say("GET /api/v1/namespaces/demo/pods", *running.api.answers["GET /api/v1/pods"])
        first = running.launcher(running.vms()[0])
        for number, node in enumerate(("worker-0", "worker-1")):
            old = json.loads(json.dumps(first))
            old["metadata"] |= {
                "name": f"virt-launcher-vm0-old{number}0",
                "creationTimestamp": f"2026-01-0{number + 1}T00:00:00Z",
            }
            old["spec"]["nodeName"] = node
            old["status"]["phase"] = "Succeeded"
            running.more.append(old)
        yield running


def shown(there: Cluster, folder: Path, *words: str) -> int:
    return main(["show", "placement", "--kubeconfig", str(kubeconfig(folder, there.api.url)), *words])


def test_the_documented_tables(there: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(there, tmp_path) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["demo", "vm0", "NotReady", "worker-2", "worker-0", "10.128.0.10", "2", "<unknown>", "<none>"] in rows
    assert [row[1:4] + row[6:] for row in rows if row[1:2] == ["virt-launcher-vm0-old00"]] == [
        ["virt-launcher-vm0-old00", "0/0", "Completed", "10.128.0.10", "worker-0"]
    ]
    assert ["worker-1", '{"default":', '["10.128.8.0/21"]}', "ovnkube-node-00001"] in rows
    assert next(row for row in rows if "sendling" in row)[:3] == ["demo", "off", "Stopped"]


def test_for_programs(there: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(there, tmp_path, "--json", "-n", "demo") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    assert {vm["name"]: (vm["node"], vm["home"], vm["moves"], vm["ping"]) for vm in document["vms"]} == {
        "vm0": ("worker-2", "worker-0", 2, None),
        "vm1": ("worker-1", "worker-1", 0, None),
        "off": ("", "", 0, None),
    }
    order = [pod["name"] for pod in document["launchers"] if pod["vm"] == "vm0"]
    assert order == ["virt-launcher-vm0-abcde", "virt-launcher-vm0-old00", "virt-launcher-vm0-old10"]
    assert [node["pod"] for node in document["nodes"]] == [f"ovnkube-node-0000{n}" for n in range(3)]


def test_without_rights_on_all_namespaces_one_is_asked_for(
    there: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there.forbidden = {"/apis/kubevirt.io/v1/virtualmachineinstances", "/api/v1/nodes"}
    assert shown(there, tmp_path) == 2
    assert "name one: -n NAMESPACE" in capsys.readouterr().err
    assert shown(there, tmp_path, "-n", "demo") == 0
    assert "note: nodes are not known" in capsys.readouterr().out


def forwarded(server: SshServer) -> Any:
    """A port-forward that leads to a server here, as virt-api's does."""

    async def relay(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(protocols=["plain.kubevirt.io"])
        await ws.prepare(request)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)

        async def back() -> None:
            while data := await reader.read(65536):
                await ws.send_bytes(data)
            await ws.close()

        task = asyncio.ensure_future(back())
        async for message in ws:
            writer.write(message.data)
        writer.close()
        task.cancel()
        return ws

    return relay


@pytest.mark.parametrize(
    ("to", "code", "outcome"), [("www.example.org", 10, "reached"), ("lost.example", 1, "not reached")]
)
def test_each_guest_pings_and_one_that_cannot_be_asked_is_no_answer(
    there: Cluster,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    to: str,
    code: int,
    outcome: str,
) -> None:
    (tmp_path / "ping").write_text(PING)
    (tmp_path / "ping").chmod(0o755)
    (tmp_path / "word").write_text("secret\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    refused = lambda r: status(500, "InternalError", "dialing VM: connection refused")  # noqa: E731
    with SshServer(password="secret") as server:
        there.api.say(f"GET {BASE}/vm0/portforward/22/tcp", forwarded(server))
        there.api.say(f"GET {BASE}/vm1/portforward/22/tcp", refused if code == 10 else forwarded(server))
        for name in ("vm0", "vm1"):
            there.api.say(f"GET {BASE}/{name}/console", refused)
        words = ("--user", "core", "--password-file", str(tmp_path / "word"), "--ping", to, "--json", "--timeout", "9")
        assert shown(there, tmp_path, *words) == code
    found = {vm["name"]: vm["ping"] for vm in json.loads(capsys.readouterr().out)["vms"]}
    assert (found["vm0"]["outcome"], found["vm0"]["way"]) == (outcome, "SSH by port-forward")
    assert ("3 of 3" if outcome == "reached" else "0 of 3") in found["vm0"]["detail"]
    assert found["vm1"]["outcome"] == ("inconclusive" if code == 10 else outcome)
    assert ("no shell in the guest" in found["vm1"]["detail"]) == (code == 10)
    assert found["off"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--ping", "x"], "a login of the guests"),
        (["--user", "core", "--ping", "-f x"], "a host name or an address"),
        (["--user", "core", "--password-file", "/nowhere", "--ping", "x"], "a file with the guests' password"),
    ],
)
def test_what_cannot_be_asked_is_said(
    there: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert shown(there, tmp_path, *words) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "5s"), (119, "119s"), (150, "2m30s"), (1200, "20m"), (4 * 3600 + 120, "4h2m"), (2 * 86400 + 7 * 3600, "2d7h"),
     (6 * 86400 + 7200, "6d2h"), (3 * 86400 + 20 * 3600, "3d20h"), (11 * 86400, "11d"), (800 * 86400, "2y70d")],
)  # fmt: skip
def test_ages_are_kubectls(seconds: int, text: str) -> None:
    now = datetime.datetime(2026, 8, 1, tzinfo=datetime.UTC)
    assert age((now - datetime.timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z"), now) == text
