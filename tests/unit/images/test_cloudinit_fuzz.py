"""Hostile user data: the guest's awk ends, complains of nothing itself, and what it prints runs nothing of the data."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from guestfiles import FEDORA_USER_DATA, GUEST
from hypothesis import given
from hypothesis import strategies as st

from tests import hostile

SCRIPTS = ("yaml.awk", "network.awk", "cloudinit.awk")
EXECUTED = (
    "$(touch executed)", "`touch executed`", "'; touch executed; '", "'\\''; touch executed #", "\ntouch executed\n",
    "|touch executed", "&touch executed&", "${IFS}touch", '"$(touch executed)"', "'", "''", "\\", "}\ntouch executed\n",
)  # fmt: skip
NETWORK = {
    "version": 2,
    "ethernets": {
        "eth0": {
            "match": {"macaddress": "02:00:00:00:00:01"}, "dhcp4": True,
            "addresses": ["10.0.0.1/24"],
            "routes": [{"to": "default", "via": "192.168.24.1"}], "mtu": 1400,
        }
    },
}  # fmt: skip
USER = {
    "hostname": "vm-a", "user": "fedora", "password": "x", "chpasswd": {"expire": False}, "ssh_pwauth": True,
    "users": ["default", {"name": "coe", "sudo": ["ALL=(ALL) NOPASSWD:ALL"], "groups": "wheel", "shell": "/bin/bash"}],
    "write_files": [{"path": "/etc/x", "content": "y", "permissions": "0600", "encoding": "b64"}],
    "runcmd": [["true", "a"]],
    "ssh_authorized_keys": ["ssh-ed25519 AAAA x"], "groups": ["a", {"b": ["c"]}], "bootcmd": ["true"],
}  # fmt: skip


def busybox() -> str:
    """Where it is on PATH, for a process that gets none."""
    found = shutil.which("busybox")
    assert found
    return found


def made(folder: Path, user: bytes, network: bytes = b"", meta: bytes = b"instance-id: x\n") -> str:
    """The script that the guest would run, checked: awk ended by itself, in time, without a word of its own."""
    for name, text in (("user-data", user), ("network-config", network), ("meta-data", meta)):
        (folder / name).write_bytes(text)
    words = [part for script in SCRIPTS for part in ("-f", str(GUEST / script))]
    settings = ["-v", f"dir={folder}", "-v", "nics=eth0 eth1", "-v", "user=fedora"]
    done = subprocess.run([busybox(), "awk", *words, *settings], capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, b""), (done, user, network)
    return done.stdout.decode("utf-8", "surrogateescape")


def run_in(folder: Path, script: str) -> None:
    """Its calls, each verb doing nothing: whatever else would be run is not found, and is said."""
    place = folder / "place"
    place.mkdir(exist_ok=True)
    verbs = "\n".join(sorted({f"{line.split()[0]}() {{ :; }}" for line in script.splitlines() if line.startswith("ci_")
                              and line.split()[0].replace("_", "").isalnum()}))  # fmt: skip
    text = f"{verbs}\n{script}\nci_network; ci_early; ci_users; ci_late\n"
    done = subprocess.run(
        [busybox(), "sh", "-s"], input=text.encode("utf-8", "surrogateescape").replace(b"\0", b""),
        capture_output=True, cwd=place, timeout=20, check=False, env={"PATH": "/nowhere"},
    )  # fmt: skip
    assert done.stderr == b"", (done.stderr, text)
    assert list(place.iterdir()) == []


texts = st.one_of(hostile.texts, st.sampled_from(EXECUTED))


@st.composite
def worse(draw: st.DrawFn, document: dict[str, object]) -> bytes:
    """A document gone wrong, as text, in which anything may then be replaced."""
    bad = draw(hostile.mutated(document))
    text = yaml.safe_dump(bad, default_flow_style=draw(st.sampled_from([None, True, False])), allow_unicode=True)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(texts) + text[at + draw(st.integers(0, 3)) :]
    return text.encode("utf-8", "replace")


@hostile.few(100)
@given(user=worse(USER), network=worse(NETWORK))
def test_documents_gone_wrong(user: bytes, network: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("ci")
    run_in(folder, made(folder, b"#cloud-config\n" + user, network))


BITS = [
    b"#cloud-config\n",
    b"runcmd:\n",
    b"- ",
    b"  ",
    b": ",
    b"|\n",
    b">-\n",
    b"[",
    b"]",
    b"{",
    b"}",
    b"'",
    b'"',
    b"\n",
    b"&a",
]
pieces = st.one_of(
    texts.map(lambda text: text.encode("utf-8", "replace")), st.binary(max_size=30), st.sampled_from(BITS)
)


@hostile.few(60)
@given(data=st.lists(pieces, max_size=15))
def test_any_bytes(data: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("ci")
    run_in(folder, made(folder, b"#cloud-config\n" + b"".join(data), b"".join(data), b"".join(data)))


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 3000,
        b"a: " + b"[" * 500 + b"]" * 500,
        b"a: " + b"{b: " * 500 + b"}" * 500,
        b"".join(b" " * n + b"a:\n" for n in range(600)),
        b"- " * 2000 + b"x",
        b"a: " + b"x" * 1_000_000,
        b"a: '" + b"''" * 20000 + b"'",
        b'a: "' + b"\\x41" * 20000 + b'"',
        b"runcmd:\n" + b"- true\n" * 5000,
        FEDORA_USER_DATA.encode() * 2,
        b"\xff\xfe\x00\x00",
        b"",
    ],
)
def test_large_and_deep_data_end(text: bytes, tmp_path: Path) -> None:
    run_in(tmp_path, made(tmp_path, b"#cloud-config\n" + text, text))
