"""Target files: the shipped one loads; every mistake is told with file, line, key, wanted and found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from lab.core.errors import UsageError
from lab.target.form import schema
from lab.target.inventory import Target, load

SHIPPED = Path(__file__).parents[3] / "targets" / "embedded.yaml"


def test_the_shipped_target_loads() -> None:
    target = load(SHIPPED)
    assert target.nics.ports("bond2", "bond") == ("enp7s0f0", "enp7s0f1")
    vlan = target.vlan(2024)
    assert (vlan.gateway, vlan.with_prefix(0)) == ("192.168.24.1", "192.168.24.20/24")
    assert target.outside_host(vlan.outside).connect[-2:] == ("{host}", "{port}")
    assert target.nics.vital("ens3")
    assert not target.nics.vital("enp7s0f0")
    assert target.cluster.kubeconfig_command[-1] == "kubeconfig"


def changed(tmp_path: Path, old: str, new: str) -> Path:
    text = SHIPPED.read_text()
    assert old in text
    path = tmp_path / "lab.yaml"
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("  - id: 2024", "  - id: 5000", ["vlans[0].id", "from 1 to 4094", "'5000'", "line "]),
        ("  - id: 2024", "  - id: many", ["vlans[0].id", "an integer", "'many'"]),
        ("id: 1993", "id: 2024", ["each VLAN once", "2024 is there twice"]),
        ("gateway: 192.168.24.1", "gateway: 192.168.24.300", ["vlans[0].gateway", "an IP address", "192.168.24.300"]),
        ("gateway: 192.168.24.1", "gateway: 192.168.9.1", ["an address in 192.168.24.0/24", "192.168.9.1"]),
        ("192.168.24.20-192.168.24.99", "192.168.24.99-192.168.24.20", ["pool", "the first is above the last"]),
        ("192.168.24.20-192.168.24.99", "192.168.24.1-192.168.24.9", ["a pool without the gateway"]),
        ("subnet: 192.168.24.0/24", "subnet: 192.168.24.7/24", ["subnet", "host bits set"]),
        (
            "  primary: ens3",
            "  primry: ens3",
            ["nics.primry: one of the keys primary, ", "found: 'primry'", "did you mean 'primary'?"],
        ),
        ("allow-disruptive: true", "allow-disruptve: true", ["'allow-disruptve'", "did you mean 'allow-disruptive'"]),
        ("allow-disruptive: true", "allow-disruptive: perhaps", ["true or false", "'perhaps'"]),
        ("faults: [virtlab, fault]", "faults: virtlab fault", ["faults", "a command as a list", "'virtlab fault'"]),
        ('"{host}", "{port}"]', "nowhere]", ["outside.machine.connect", "{host} and {port}"]),
        ("outside: gateway-1993", "outside: gateway-7", ["'gateway-7'", "gateway-1993, gateway-2024"]),
        ("bond2: [enp7s0f0", "bond2: [ens3", ["may be touched in bond2", "'ens3', which the target protects"]),
        ("vlans:\n", "vlans: {}\nmore:\n", ["vlans", "a list", "a mapping"]),
        ("name: embedded", "name: [a]", ["name", "a string", "a list"]),
        ("name: embedded", "name: embedded\nname: again", ["each key once"]),
        ("name: embedded", "name: {", ["YAML", "line"]),
        ("  primary: ens3\n", "", ["nics.primary: a string", "the key 'primary' is absent", "try: add it"]),
        ("    exec: [virtlab, outside, exec, machine, --]", "    exec: []", ["outside.machine.exec", "an empty list"]),
        ("nics:\n", "nics:\n\tmore: x\n", ["found: a tab in the indentation", "line 26", "try: indent with spaces"]),
        ("  ovn:\n", "  type: gke\n  ovn:\n", ["platform.type: openshift or kubernetes", "'gke'"]),
        ("    namespace: nmstate\n", "", ["platform.nmstate.namespace", "is absent"]),
        ("{nb: nb-ovsdb, ", "{", ["platform.ovn.containers.nb", "is absent"]),
        ("    pool: 192.168.24.20-192.168.24.99\n", "", ["vlans[0].pool: where guests get addresses", "dhcp: true"]),
        ("images:\n  default:", "images:\n  other:", ["images.default", "is absent"]),
        ("cluster:\n", "cluster:\n  proxy: proxy:3128\n", ["cluster.proxy: a URL such as", "'proxy:3128'"]),
        ("outside:\n  machine:\n", "outside:\n  machine:\n    ssh: {host: gw}\n", ["ssh, or commands of your own"]),
        ("outside:\n", "outside:\n  x:\n    ssh: {host: -oProxyCommand=x}\n", ["outside.x.ssh.host", "an option"]),
        ("vlans:\n", "---\nvlans:\n", ["expected a single document in the stream, but found another"]),
        ("name: embedded", "name: &a [*a]", ["nested more than 12 deep"]),
    ],
)
def test_a_mistake_is_told_with_file_line_and_key(tmp_path: Path, old: str, new: str, parts: list[str]) -> None:
    path = changed(tmp_path, old, new)
    with pytest.raises(UsageError) as caught:
        load(path)
    text = str(caught.value)
    for part in [*parts, "lab.yaml"]:
        assert part in text, text


def test_the_line_is_the_right_one(tmp_path: Path) -> None:
    path = changed(tmp_path, "  - id: 1993", "  - id: 0")
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "id: 0" in text)
    with pytest.raises(UsageError, match=f"line {line}\\b"):
        load(path)


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = changed(tmp_path, "  - id: 1993", "  - id: 0")
    path.write_text(
        path.read_text().replace("allow-drain: true", "alow-drain: true").replace("boot-s: 60", "boot-s: x")
    )
    with pytest.raises(UsageError) as caught:
        load(path)
    told = [line for line in str(caught.value).splitlines() if line.startswith("wanted: ")]
    assert [line.split(":")[1].strip() for line in told] == ["vlans[1].id", "images.default.boot-s", "alow-drain"]


def test_a_minimal_file_leaves_the_platform_open(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    lines = [
        "cluster: {kubeconfig: kc, proxy: 'http://p:3128'}",
        "nics: {primary: eth0, bonds: }",
        "vlans:",
        "images: {default: {image: quay.io/a/b, user: u, password: 7}}",
        "registry-mirrors: {quay.io: mirror.lab:5000/q/}",
    ]
    path.write_text("\n".join(lines))
    target = load(path)
    assert (target.name, target.platform.type, target.platform.ovn.namespace) == ("mine", "", "")
    assert target.platform.ovn.labels == "app=ovnkube-node"
    assert target.node_selector == "node-role.kubernetes.io/worker="
    assert (target.image().image, target.image().password) == ("mirror.lab:5000/q/a/b", "7")
    assert target.pod_image == "mirror.lab:5000/q/quay/busybox:latest"
    assert (target.cluster.kubeconfig, target.cluster.proxy) == (tmp_path / "kc", "http://p:3128")
    assert not target.allow_disruptive
    assert not target.allow_drain


def test_an_outside_host_by_ssh_is_openssh_with_every_word_quoted_for_the_shell_there(tmp_path: Path) -> None:
    host = "{host: gw, user: lab, port: 2222, key: keys/id, known-hosts: known, jump: bastion}"
    path = changed(tmp_path, "outside:\n", f"outside:\n  x:\n    ssh: {host}\n")
    found = load(path).outside_host("x")
    assert found.command(["sh", "-c", "echo 'a b'"])[-4:] == ["--", "sh", "-c", "'echo '\"'\"'a b'\"'\"''"]
    assert found.exec[:5] == ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10")
    assert f"{tmp_path}/keys/id" in found.exec
    assert f"UserKnownHostsFile={tmp_path}/known" in found.exec
    assert found.connect[-3:] == ("-W", "{host}:{port}", "lab@gw")
    assert load(path).outside_host("machine").command(["echo", "a b"])[-2:] == ["echo", "a b"]


def test_the_published_schema_is_a_schema_and_says_what_every_key_is_for() -> None:
    Draft202012Validator.check_schema(schema())

    def walk(rules: Any, place: str) -> None:
        for key, below in {**rules.get("properties", {}), "*": rules.get("additionalProperties") or {}}.items():
            if below:
                assert below.get("title"), f"{place}.{key}"
                walk(below, f"{place}.{key}")

    walk(schema(), "")


def test_a_missing_file_names_its_neighbours() -> None:
    with pytest.raises(UsageError, match=r"embedded\.yaml"):
        load(SHIPPED.with_name("nowhere.yaml"))


def test_an_empty_file_and_a_binary_file_are_told(tmp_path: Path) -> None:
    for content in (b"", b"\xff\xfe\x00"):
        (tmp_path / "x.yaml").write_bytes(content)
        with pytest.raises(UsageError, match="a target file"):
            load(tmp_path / "x.yaml")


def test_what_the_target_lacks_is_told_with_what_it_has() -> None:
    target: Target = load(SHIPPED)
    with pytest.raises(UsageError, match="1993, 2024"):
        target.vlan(7)
    with pytest.raises(UsageError, match="default"):
        target.image("windows")
    with pytest.raises(UsageError, match="it has 80"):
        target.vlan(2024).address(80)
