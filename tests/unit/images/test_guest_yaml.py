"""The guest's YAML reader against PyYAML: what it reads it reads alike, what it cannot it refuses, naming the line."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from guestfiles import awk

DUMP = 'BEGIN { if (!y_parse(ARGV[1])) print "refused " Y_WHY; else y_dump("", "") }'


class _Texts(yaml.SafeLoader):
    """All scalars as texts, but null."""


_Texts.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] == "tag:yaml.org,2002:null"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def lines(value: Any, path: str = "") -> list[str]:
    if isinstance(value, dict):
        return [f"{path}\tmap\t{len(value)}", *(line for key in value for line in lines(value[key], f"{path}/{key}"))]
    if isinstance(value, list):
        return [
            f"{path}\tseq\t{len(value)}",
            *(line for i, item in enumerate(value) for line in lines(item, f"{path}/{i}")),
        ]
    if value is None:
        return [f"{path}\tnull\t0"]
    return [f"{path}\tstr\t" + value.replace("\n", "\\n")]


def read(text: str, tmp_path: Path) -> list[str]:
    (tmp_path / "in").write_text(text)
    (tmp_path / "dump.awk").write_text(DUMP)
    return awk(["yaml.awk", str(tmp_path / "dump.awk")], str(tmp_path / "in")).splitlines()


ALIKE = {
    "fedora": """\
#cloud-config
users:
  - default
  - name: fedora   # the user
    passwd: $6$rounds=4096$abc$def/ghi.
    lock_passwd: false
    sudo: ["ALL=(ALL) NOPASSWD:ALL", 'it''s']
    ssh_authorized_keys:
    - ssh-rsa AAAA user@host
    - "ssh-ed25519 BB\\tC: #x"
chpasswd: { expire: False, users: [ {name: a, password: "b:c"} ] }
runcmd:
- [ sh, -c, "echo 'hi, there'" ]
- echo a:b > /tmp/x
- - nested
  - list
-
  key: v
""",
    "blocks": """\
a: |
  one
    two

  three # no comment
b: >-
  folded
  text

  para
    kept
  end
c: |+
  x

d:
- |
  in a list
- key: |2
    two spaces
""",
    "network": """\
version: 2
ethernets:
  enp1s0: {dhcp4: true, match: {macaddress: "02:00:00:20:24:64"}}
  enp2s0:
    addresses: [192.168.24.100/24, "fd00::1/64"]
    routes:
    - to: default
      via: 192.168.24.1
    nameservers:
      addresses:
      - 8.8.8.8
""",
    "plain": "a: this is\n  continued\n\n  here\nb: http://x:80/y#z\nc:\nd: ~\ne: 'null'\n"
    'f: "multi\n  line"\ng: -1\nh: a - b\n',
    "marked": "---\n# c\na: 1\n...\n",
    "empty": "",
    "comments": "# nothing\n\n  # at all\n",
    "list": "- a\n-   b: 1\n    c: 2\n- []\n- {}\n",
    "flow over lines": "a: [1,\n  2, # two\n  3]\nb: {x: 1,\n  y: [a, b]}\n",
    "quoted keys": "\"a b\": 1\n'c: d': 2\n{}: 3\n"[:-6],
    "json": json.dumps({"instance-id": "x", "public-keys": {"0": "ssh-rsa é \n"}, "l": ["1", {"b": []}], "n": None}),
    "indented json": json.dumps({"a": ["b", {"c": "d"}], "e": {}}, indent=2),
}


@pytest.mark.parametrize("name", ALIKE)
def test_read_as_pyyaml_reads_it(name: str, tmp_path: Path) -> None:
    assert read(ALIKE[name], tmp_path) == lines(yaml.load(ALIKE[name], _Texts))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: 1\n\tb: 2\n", "line 2: a tab in the indentation"),
        ("a: &x 1\n", "line 1: anchors, aliases and tags are not understood: &x 1"),
        ("a:\n  <<: *x\n", "line 2: merge keys (<<) are not understood"),
        ("a: 1\n---\nb: 2\n", "line 2: a second document begins, only one is read"),
        ("a: [1, 2\n", "line 1: the text ends inside a bracket or a quote"),
        ('a: 1\nb: "x\n', "line 2: a quote is never closed"),
        ("a: b: c\n", "line 1: `: ` in a plain text, put it in quotes: b: c"),
        ("a: 1\n  b: 2\n", "line 2: indented further than what is above it: b: 2"),
        ("a: 1\njust text\n", "line 2: no `key: value`: just text"),
        ("a: 1\na: 2\n", "line 2: the key a is given twice"),
        ("? a\n: b\n", "line 1: complex keys (?) are not understood"),
        ("a: |x\n  y\n", "line 1: not a block header: |x"),
        ('a: "\\q"\n', "line 1: unknown escape \\q"),
        ("a: [1] 2\n", "line 1: cannot read what follows:  2"),
        ("a:\n  - 1\n    - 2\n  b: 3\n", "line 4: no `key: value`"),
        ("- a\nb: 1\n", "line 2: cannot place this: b: 1"),
    ],
)
def test_refused_by_name_and_line(text: str, why: str, tmp_path: Path) -> None:
    found = read(text, tmp_path)
    if "b: 3" in text:
        assert found[0].startswith("refused line ")
    else:
        assert found == [f"refused {why}"]
