"""What a scenario would change on a cluster, by its sentences and the manifests beside it. Pure reading; asks nobody.

It knows names: a manifest counts when a sentence names it, as steps do. So it says what may be made, not what must.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lab.access.kinds import Obj
from lab.core.errors import UsageError
from lab.nmstate import manifest
from lab.target.inventory import Target
from lab.topology.manifests import Manifests


@dataclass(frozen=True)
class Changes:
    """`policies` on every worker, each in one line; names of VMs; `vital`: links of the nodes' own network."""

    policies: tuple[str, ...] = ()
    vms: tuple[str, ...] = ()
    vital: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """For people."""
        found = [f"node policy {text}" for text in self.policies]
        found += [f"VMs {', '.join(self.vms)} in a namespace of their own"] if self.vms else []
        return found + ([f"touches the nodes' own network: {', '.join(self.vital)}"] if self.vital else [])


def changes(folder: Path, sentences: Iterable[str], target: Target) -> Changes:
    """Of one scenario whose manifests are in *folder*."""
    manifests, said = Manifests(folder), " \n ".join(sentences)
    names = sorted(path.stem for path in folder.glob("*.yaml"))
    policies = [n for n in names if n.startswith("nncp-") and _named(n.removeprefix("nncp-"), said)]
    vms = [n for n in names if not n.startswith(("nncp-", "nad-")) and n != "resident" and _named(n, said)]
    documents = [found for name in policies if (found := _read(manifests, name)) is not None]
    vital = {link for d in documents for link in _links(d, target) if target.nics.vital(link)}
    return Changes(tuple(_policy(d, target) for d in documents), tuple(vms), tuple(sorted(vital)))


def _named(name: str, said: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", said) is not None


def _read(manifests: Manifests, name: str) -> Obj | None:
    """None for a manifest that cannot be read: the scenario itself says so when it runs."""
    try:
        return manifests[name]
    except UsageError:
        return None


def _policy(document: Obj, target: Target) -> str:
    """``ovs-br1-vlan-trunk: bond bond2 of enp7s0f0, enp7s0f1; ovs-bridge ovs-br1; localnet vlan-2024 on ovs-br1``."""
    parts = []
    for link in manifest.interfaces(document):
        ports = target.nics.ports(str(link.get("name")), str(link.get("type")))
        of = f" of {', '.join(ports)}" if ports else ""
        gone = "without " if link.get("state") == "absent" else ""
        parts.append(f"{gone}{link.get('type', 'link')} {link.get('name')}{of}")
    parts += [f"localnet {localnet} on {bridge}" for localnet, bridge in manifest.mappings(document).items()]
    return f"{document['metadata']['name']}: {'; '.join(parts)}"


def _links(document: Obj, target: Target) -> set[str]:
    """The links it names, with the ports that the target puts in their place."""
    found = set(manifest.touched(document))
    for link in manifest.interfaces(document):
        found |= set(target.nics.ports(str(link.get("name")), str(link.get("type"))))
    return found
