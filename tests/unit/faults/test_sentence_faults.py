"""Faults that turn single sentences red: what they tell the tools, what they read back, what they refuse."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.embedded.errors import FaultError, UsageError
from lab.embedded.faults import waiting
from lab.embedded.faults.acl_drops import blocks
from lab.embedded.faults.address_changed import AddressChanged
from lab.embedded.faults.eviction_unguarded import HOOK, NOBODY, EvictionUnguarded
from lab.embedded.faults.memory_decays import MemoryDecays
from lab.embedded.faults.migrations_serial import MigrationsSerial
from lab.embedded.faults.names_hijacked import NamesHijacked
from lab.embedded.faults.policy_outranked import POLICY, PolicyOutranked
from lab.embedded.faults.port_filtered import PortFiltered
from lab.embedded.faults.site import Runner, Site
from lab.embedded.faults.spoof_check_stale import STALE, SpoofCheckStale
from lab.embedded.model.kinds import Kind

PARTS = Path(__file__).with_name("partsbroken.py")
"""Faults on real parts, in namespaces of their own."""


class Filter:
    """``nft`` of one place, and processes that can be started and killed; ``deaf`` keeps no rule, and what is started
    while it is ``mute`` listens nowhere."""

    mute = False

    def __init__(self, *, deaf: bool = False) -> None:
        self.chains: dict[str, list[str]] = {}
        self.tables: set[str] = set()
        self.running: dict[str, str] = {}
        self.deaf = deaf

    async def __call__(self, argv: Sequence[str]) -> str:
        match list(argv):
            case ["nft", "list", *_]:
                return self._listed()
            case ["nft", words]:
                return self._do(words)
            case ["sh", "-c", script, "sh", *rest] if "echo $!" in script:
                self.running["42"] = " ".join(rest)
                return "42\n"
            case ["sh", "-c", script, "sh", "8053"] if "/proc/net" in script:
                return "1\n" if self.running and not self.mute else "0\n"
            case ["sh", "-c", script, "sh", pid] if "cmdline" in script:
                return self.running.get(pid, "")
            case ["sh", "-c", script, "sh", pid] if script.startswith("kill"):
                self.running.pop(pid, None)
                return ""
        raise AssertionError(argv)

    def _do(self, words: str) -> str:
        what = words.split(" ")
        match what[:2]:
            case ["add", "table"]:
                self.tables.add(" ".join(what[2:]))
            case ["add", "chain"]:
                self.chains[what[4]] = []
            case ["add", "rule"]:
                self.chains[what[4]] += [] if self.deaf else [" ".join(what[5:])]
            case ["delete", "chain"]:
                del self.chains[what[4]]
            case ["delete", "table"]:
                self.tables.discard(" ".join(what[2:]))
                self.chains.clear()
            case ["list", _]:
                return self._listed()
            case _:
                raise AssertionError(words)
        return ""

    def _listed(self) -> str:
        inner = "".join(f"\tchain {name} {{\n\t\t{' '.join(rules)}\n\t}}\n" for name, rules in self.chains.items())
        return "".join(f"table {table} {{\n{inner}}}\n" for table in sorted(self.tables))


def site(place: Runner, kube: Any = None) -> Site:
    return Site(place, lambda _: place, lambda _: place, ("worker-1",), ("gateway-2024",), lambda: kube)


DNS = {"host": "gateway-2024", "proto": "udp", "ports": "53-53", "how": "drop"}


def test_a_port_is_filtered_at_both_hooks_and_let_through_again() -> None:
    place = Filter()
    asyncio.run(PortFiltered().inject(site(place), DNS))
    assert list(place.chains.values()) == [["udp dport 53 drop"]] * 2
    asyncio.run(PortFiltered().heal(site(place), DNS, {}))
    asyncio.run(PortFiltered().heal(site(place), DNS, {}))
    assert (place.chains, place.tables) == ({}, set())


def test_a_rule_that_a_host_does_not_keep_is_no_fault() -> None:
    with pytest.raises(FaultError, match="wanted the rule `udp dport 53 drop` on gateway-2024"):
        asyncio.run(PortFiltered().inject(site(Filter(deaf=True)), DNS))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ports": "53"}, "a range of ports: '53'"),
        ({"ports": "9-2"}, "a range of ports: '9-2'"),
        ({"ports": "1-70000"}, "a range of ports"),
        ({"proto": "icmp"}, "a protocol of this lab: 'icmp'"),
        ({"how": "reset"}, "a way for UDP"),
        ({"host": "nowhere"}, "an outside host of this lab: 'nowhere'"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(change: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        asyncio.run(PortFiltered().inject(site(Filter()), {**DNS, **change}))


@pytest.mark.parametrize(("first", "last"), [(22, 22), (20000, 29999), (1, 65535), (53, 54)])
def test_blocks_of_ports_cover_the_range_and_nothing_else(first: int, last: int) -> None:
    covered = [port for start, mask in blocks(first, last) for port in range(65536) if port & mask == start]
    assert sorted(covered) == list(range(first, last + 1))


def test_names_are_led_away_to_a_server_that_goes_when_it_is_healed() -> None:
    place, arguments = Filter(), {"vlan": "2024", "ports": "53-53"}
    saved = asyncio.run(NamesHijacked().inject(site(place), arguments))
    assert place.chains == {"in": ["udp dport 53 redirect to :8053"]}
    assert place.running["42"].startswith("dnsmasq --no-daemon")
    asyncio.run(NamesHijacked().heal(site(place), arguments, saved))
    asyncio.run(NamesHijacked().heal(site(place), arguments, saved))
    assert (place.running, place.tables) == ({}, set())


def test_a_server_that_does_not_come_up_is_not_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting.comes_true, "__defaults__", (0.0,))
    place = Filter()
    place.mute = True
    with pytest.raises(FaultError, match="wanted somebody else on port 8053 of gateway-2024: nobody listens there"):
        asyncio.run(NamesHijacked().inject(site(place), {"vlan": "2024", "ports": "53-53"}))
    assert (place.running, place.tables) == ({}, set())


class Cluster:
    """Objects by kind and name, as a client hands them out."""

    def __init__(self, *objects: tuple[str, dict[str, Any]]) -> None:
        self.objects = {(kind, obj["metadata"]["name"]): obj for kind, obj in objects}

    async def __aenter__(self) -> Cluster:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> dict[str, Any]:
        return dict(json.loads(json.dumps(self.objects[kind.kind, name])))

    async def list(self, kind: Kind) -> list[dict[str, Any]]:
        return [obj for (of, _), obj in self.objects.items() if of == kind.kind]

    async def create(self, kind: Kind, obj: dict[str, Any]) -> None:
        self.objects[kind.kind, obj["metadata"]["name"]] = obj

    async def delete(self, kind: Kind, name: str) -> None:
        del self.objects[kind.kind, name]

    async def patch(self, kind: Kind, name: str, namespace: str | None, body: dict[str, Any]) -> None:
        self.objects[kind.kind, name] = _merged(self.objects[kind.kind, name], body)


def _merged(old: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    made = dict(old)
    for key, value in change.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = _merged(old.get(key) or {}, value) if isinstance(value, dict) else value
    return made


def test_a_policy_that_names_a_vm_s_own_labels_outranks_its_own_until_it_is_healed() -> None:
    vmi = {"metadata": {"name": "vm-a", "labels": {"app": "vm-a", "kubevirt.io/domain": "vm-a"}}}
    cluster = Cluster(("VirtualMachineInstance", vmi))
    place, arguments = site(Filter(), cluster), {"vm": "demo/vm-a", "bandwidth": "1Gi", "converge": "false"}
    asyncio.run(PolicyOutranked().inject(place, arguments))
    spec = cluster.objects["MigrationPolicy", POLICY]["spec"]
    assert (spec["bandwidthPerMigration"], spec["allowAutoConverge"]) == ("1Gi", False)
    assert spec["selectors"] == {
        "namespaceSelector": {"kubernetes.io/metadata.name": "demo"},
        "virtualMachineInstanceSelector": vmi["metadata"]["labels"],
    }
    asyncio.run(PolicyOutranked().heal(place, arguments, {}))
    asyncio.run(PolicyOutranked().heal(place, arguments, {}))
    assert ("MigrationPolicy", POLICY) not in cluster.objects


@pytest.mark.parametrize("before", [None, 5])
def test_one_migration_at_a_time_is_the_cluster_s_setting_and_goes_back(before: int | None) -> None:
    migrations = {} if before is None else {"parallelMigrationsPerCluster": before}
    cr = {
        "metadata": {"name": "kubevirt", "namespace": "kubevirt"},
        "spec": {"configuration": {"migrations": migrations}},
    }
    cluster = Cluster(("KubeVirt", cr))
    saved = asyncio.run(MigrationsSerial().inject(site(Filter(), cluster), {}))
    now = cluster.objects["KubeVirt", "kubevirt"]["spec"]["configuration"]["migrations"]
    assert now == {"parallelMigrationsPerCluster": 1}
    asyncio.run(MigrationsSerial().heal(site(Filter(), cluster), {}, saved))
    assert cluster.objects["KubeVirt", "kubevirt"]["spec"]["configuration"]["migrations"] == migrations


def test_the_webhook_of_evictions_leads_nowhere_and_back() -> None:
    hooks = [{"name": name, "clientConfig": {"url": f"https://x/{name}"}} for name in ("other", HOOK)]
    cluster = Cluster(
        ("ValidatingWebhookConfiguration", {"metadata": {"name": "virt-api-validator"}, "webhooks": hooks})
    )

    def urls() -> list[str]:
        found = cluster.objects["ValidatingWebhookConfiguration", "virt-api-validator"]["webhooks"]
        return [hook["clientConfig"]["url"] for hook in found]

    saved = asyncio.run(EvictionUnguarded().inject(site(Filter(), cluster), {}))
    assert urls() == ["https://x/other", NOBODY]
    asyncio.run(EvictionUnguarded().heal(site(Filter(), cluster), {}, saved))
    assert urls() == ["https://x/other", f"https://x/{HOOK}"]


def test_a_lab_without_an_api_server_says_so() -> None:
    place = Filter()
    bare = Site(place, lambda _: place, lambda _: place, ("worker-1",), ())
    with pytest.raises(FaultError, match="there is no way to it from here"):
        asyncio.run(MigrationsSerial().inject(bare, {}))


class Checks:
    """``nft`` of a worker with the checks of two pods."""

    def __init__(self) -> None:
        self.rules = {"cni-br-iface-a-net1-mac": "02:00:00:00:00:0a", "cni-br-iface-b-net1-mac": "02:00:00:00:00:0b"}

    async def __call__(self, argv: Sequence[str]) -> str:
        match list(argv):
            case ["nft", "list", "tables"]:
                return "table bridge nat\n"
            case ["nft", "-a", "list", "table", "bridge", "nat"]:
                chains = "".join(
                    f'\tchain {name} {{ # handle {n}\n\t\tether saddr {mac} return comment "x" # handle 1{n}\n'
                    f'\t\tdrop comment "x" # handle 2{n}\n\t}}\n\n'
                    for n, (name, mac) in enumerate(self.rules.items())
                )
                return f"table bridge nat {{ # handle 3\n\tchain PREROUTING {{ # handle 9\n\t}}\n\n{chains}}}\n"
            case ["nft", words]:
                _, _, _, _, chain, _, handle, _, _, mac, *rest = words.split(" ")
                assert (rest, handle) == (["return", "comment", '"x"'], f"1{list(self.rules).index(chain)}")
                self.rules[chain] = mac
                return ""
        raise AssertionError(argv)


def test_the_addresses_of_spoof_checks_are_replaced_and_put_back() -> None:
    place = Checks()
    before = dict(place.rules)
    saved = asyncio.run(SpoofCheckStale().inject(site(place), {"node": "worker-1"}))
    assert set(place.rules.values()) == {STALE}
    asyncio.run(SpoofCheckStale().heal(site(place), {"node": "worker-1"}, saved))
    assert place.rules == before


def test_faults_in_a_guest_are_lines_of_shell_with_their_arguments() -> None:
    other = {"vm": "demo/a", "address": "192.168.24.222"}
    assert "ip addr add 192.168.24.222/24 dev $nic" in AddressChanged().breaking(other)
    assert "case $a in 192.168.24.222/24)" in AddressChanged().looking(other)
    with pytest.raises(UsageError, match="an IPv4 address"):
        AddressChanged().breaking({"vm": "demo/a", "address": "no"})
    assert "/written" in MemoryDecays().breaking({"vm": "demo/a"})


@pytest.mark.lab
def test_a_real_bridge_and_a_real_packet_filter_are_broken_and_mended_and_what_is_read_of_them_says_so() -> None:
    done = subprocess.run(
        ["unshare", "-Urnm", sys.executable, PARTS], capture_output=True, text=True, timeout=60, check=False,
        cwd=PARTS.parents[3],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    own = "forwarding, only 02:00:00:20:24:0a"
    assert json.loads(done.stdout) == {
        "disabled": ["worker-1: port, the port of vm-a on br1, is disabled: it forwards nothing", "forwarding"],
        "unplugged": ["br1 has learned 02:00:00:20:24:0a on none of its ports", "forwarding"],
        "stale": [f"worker-1: macspoofchk lets only {STALE} in by port, and vm-a sends from 02:00:00:20:24:0a", own],
        "lost": "its packet filter has no rule of macspoofchk for port, port on br1 takes any address in",
        "filtered": ["drops", "drops", ""],
        "hijacked": [503, "leads away", ""],
    }
