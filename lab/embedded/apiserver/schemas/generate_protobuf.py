"""Write `protobuf.json`: field numbers of the messages that typed Go clients (`kubectl create`, `drain`) send.

Run by hand with the folder that holds upstream's `generated.proto` files of k8s.io/api and k8s.io/apimachinery:
`python -m lab.embedded.apiserver.schemas.generate_protobuf FOLDER`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

_PACKAGE = re.compile(r"^package ([\w.]+);", re.MULTILINE)
_MESSAGE = re.compile(r"^message (\w+) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"^\s+(?:(optional|repeated|required) )?(map<string, [\w.]+>|[\w.]+) (\w+) = (\d+);", re.MULTILINE)
_SCALARS = frozenset(["string", "bytes", "bool", "int32", "int64", "double"])
_GROUPS = {
    "core": "",
    "apps": "apps",
    "rbac": "rbac.authorization.k8s.io",
    "policy": "policy",
    "batch": "batch",
    "authentication": "authentication.k8s.io",
    "authorization": "authorization.k8s.io",
    "coordination": "coordination.k8s.io",
    "events": "events.k8s.io",
    "scheduling": "scheduling.k8s.io",
    "storage": "storage.k8s.io",
    "networking": "networking.k8s.io",
}


def _short(name: str) -> str:
    return name.lstrip(".").removeprefix("k8s.io.").removeprefix("apimachinery.pkg.").removeprefix("api.")


def read_messages(folder: Path) -> dict[str, dict[str, list[str]]]:
    """message -> number -> [JSON name, type, optional | repeated | map]."""
    found: dict[str, dict[str, list[str]]] = {}
    for path in sorted(folder.rglob("*.proto")):
        text = path.read_text()
        package_match = _PACKAGE.search(text)
        if package_match is None:
            raise ValueError(f"{path} has no package line; wanted upstream's generated.proto")
        package = _short(package_match[1])
        for message in _MESSAGE.finditer(text):
            fields = {}
            for label, kind, name, number in _FIELD.findall(message[2]):
                if kind.startswith("map<"):
                    label, kind = "map", kind[12:-1]
                if kind not in _SCALARS:
                    kind = _short(kind) if "." in kind else f"{package}.{kind}"
                fields[number] = [name, kind, label or "optional"]
            found[f"{package}.{message[1]}"] = fields
    return found


def main() -> None:
    """Keep the messages that the roots reach and write the file beside this module."""
    messages = read_messages(Path(sys.argv[1]))
    kinds = json.loads(Path(__file__).with_name("builtin.json").read_text())
    known = {re.sub(r"^(?:[A-Z][a-z]+)??V1", "", name) for name in kinds}
    roots: dict[str, str] = {}
    for package, group in _GROUPS.items():
        for name, fields in messages.items():
            kind = name.rpartition(".")[2]
            top = fields.get("1", ["", ""])[0] == "metadata" and kind in known
            if name.startswith(f"{package}.v1.") and (top or kind.endswith("Review")):
                roots[f"{group}/v1/{kind}" if group else f"v1/{kind}"] = name
    kept: dict[str, Any] = {}
    todo = [*roots.values(), "apis.meta.v1.DeleteOptions", "runtime.Unknown"]
    while todo:
        name = todo.pop()
        if name not in kept and name in messages:
            kept[name] = messages[name]
            todo += [field[1] for field in messages[name].values()]
    lines = [f"{json.dumps(name)}: {json.dumps(kept[name], separators=(',', ':'))}" for name in sorted(kept)]
    text = (
        '{"roots": '
        + json.dumps(dict(sorted(roots.items())), indent=0)
        + ',\n"messages": {\n'
        + ",\n".join(lines)
        + "\n}}\n"
    )
    Path(__file__).with_name("protobuf.json").write_text(text)


if __name__ == "__main__":
    main()
