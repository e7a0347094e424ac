"""Target files: the shipped one loads; every mistake is told with file, line, key, wanted and found."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.core.errors import UsageError
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
        ("  primary: ens3", "  primry: ens3", ["nics.primary", "is absent", "'primry'"]),
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
