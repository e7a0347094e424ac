"""The rules of a spoof check, as upstream names them, and their removal from a listing of the table."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lab.embedded.node import spoofcheck

MAC, CONTAINER = "02:00:00:20:24:0a", "53a64c401ea84383ab1f7ff1c178f36b"
CHAIN = f"cni-br-iface-{CONTAINER}-net1"
# Frames through a bridge: two ports, one checked, and a sender that may change its address.
PACKETS = Path(__file__).parent / "spoofpackets.py"


def test_the_chains_are_upstreams() -> None:
    commands = spoofcheck.rules("53a64c401ea8_1", MAC, CONTAINER, "net1")["nftables"]
    assert [c["add"]["chain"]["name"] for c in commands if "chain" in c["add"]] == ["PREROUTING", CHAIN, f"{CHAIN}-mac"]
    rules = [c["add"]["rule"] for c in commands if "rule" in c["add"]]
    assert {rule["comment"] for rule in rules} == {f"macspoofchk-{CONTAINER}-net1"}
    assert [rule["expr"][-1] for rule in rules] == [
        {"jump": {"target": CHAIN}}, {"jump": {"target": f"{CHAIN}-mac"}}, {"return": None}, {"drop": None},
    ]  # fmt: skip


def test_a_removal_takes_the_pods_own_chains_and_the_jumps_to_them() -> None:
    other = "cni-br-iface-ffff-net1"
    listing = {"nftables": [
        {"metainfo": {}},
        *({"chain": {"name": name}} for name in ("PREROUTING", CHAIN, f"{CHAIN}-mac", other)),
        {"rule": {"chain": "PREROUTING", "handle": 7, "expr": [{"jump": {"target": CHAIN}}]}},
        {"rule": {"chain": "PREROUTING", "handle": 8, "expr": [{"jump": {"target": other}}]}},
        {"rule": {"chain": CHAIN, "handle": 9, "expr": [{"jump": {"target": f"{CHAIN}-mac"}}]}},
    ]}  # fmt: skip
    commands = spoofcheck.removal(listing, spoofcheck.chain_of(CONTAINER, ""))["nftables"]
    deleted = [c["delete"] for c in commands if "delete" in c]
    assert [entry["rule"]["handle"] for entry in deleted if "rule" in entry] == [7, 9]
    assert [entry["chain"]["name"] for entry in deleted if "chain" in entry] == [CHAIN, f"{CHAIN}-mac"]
    assert spoofcheck.removal({}, CHAIN) == {"nftables": []}


@pytest.mark.lab
def test_frames_with_another_address_stop_at_the_port() -> None:
    done = subprocess.run(
        ["unshare", "-Urnm", sys.executable, PACKETS], capture_output=True, text=True, timeout=60, check=False,
        cwd=PACKETS.parents[3],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen == {"unchecked": True, "true": True, "spoofed": False, "true again": True, "taken back": True}
