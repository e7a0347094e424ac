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

VARIANTS = (
    (re.compile(r"the policy (\S+) is applied with fast LACP"), "{0}-fast"),
    (re.compile(r"the policy (\S+) is applied without its bond"), "{0}-without-bond"),
    (re.compile(r"the policy (\S+) is applied without spanning tree"), "{0}-without-stp"),
    (re.compile(r"VLAN (\d+) is carried over (\S+)"), "vlan-{0}-over-{1}"),
)
"""Sentences that mean a manifest of another name than the one they say."""
MOVES = re.compile(r" migrates |a migration of .* is cancelled|is drained of it")
BY_HAND = "documented nmcli commands"


@dataclass(frozen=True)
class Changes:
    """`policies` on every worker, each in one line; `vms`, `attachments`, `pods` by name; `migrations` by number;
    `nics`: the workers' NICs that a policy takes; `vital`: links of the nodes' own network."""

    policies: tuple[str, ...] = ()
    vms: tuple[str, ...] = ()
    vital: tuple[str, ...] = ()
    attachments: tuple[str, ...] = ()
    pods: tuple[str, ...] = ()
    migrations: int = 0
    nics: tuple[str, ...] = ()
    by_hand: str = ""

    def lines(self) -> list[str]:
        """For people."""
        found = [f"node policy {text}" for text in self.policies]
        own = [f"{word} {', '.join(names)}" for word, names in (("VMs", self.vms), ("attachments", self.attachments))
               if names]  # fmt: skip
        found += [f"{', '.join(own)} in a namespace of their own"] if own else []
        found += [f"pods on every worker: {', '.join(self.pods)}"] if self.pods else []
        found += [f"{self.migrations} live migration{'s' if self.migrations > 1 else ''}"] if self.migrations else []
        found += [f"by hand on a worker: {self.by_hand}"] if self.by_hand else []
        return found + ([f"touches the nodes' own network: {', '.join(self.vital)}"] if self.vital else [])


def changes(folder: Path, sentences: Iterable[str], target: Target) -> Changes:
    """Of one scenario whose manifests are in *folder*."""
    lines = list(sentences)
    manifests, said = Manifests(folder), " \n ".join(lines)
    objects = {path.stem: found for path in sorted(folder.glob("*.yaml")) if (found := _read(manifests, path.stem))}
    meant = _variants(said)
    documents = [
        found
        for name, found in objects.items()
        if name.startswith("nncp-") and (name in meant.values() or (_named(name[5:], said) and name not in meant))
    ]
    kinds = {name: str(found.get("kind")) for name, found in objects.items()}
    vms = [name for name, kind in kinds.items() if kind == "VirtualMachine" and _named(name, said)]
    nads = [name.removeprefix("nad-") for name, kind in kinds.items() if kind == "NetworkAttachmentDefinition"]
    nads = [name for name in nads if vms and (_named(name, said) or _named(name.replace("-", " "), said.lower()))]
    residents = ["resident"] if "resident" in kinds and documents else []
    links = {link for d in documents for link in _links(d, target)}
    return Changes(
        policies=tuple(_policy(d, target) for d in documents),
        vms=tuple(vms),
        vital=tuple(sorted(link for link in links if target.nics.vital(link))),
        attachments=tuple(nads),
        pods=tuple(residents),
        migrations=sum(bool(MOVES.search(f" {line} ")) for line in lines),
        nics=tuple(sorted({port for d in documents for port in _ports(d, target)})),
        by_hand="nmcli, as documented" if BY_HAND in said else "",
    )


def _variants(said: str) -> dict[str, str]:
    """Manifest that a sentence names -> the one that it means."""
    found = {}
    for pattern, name in VARIANTS:
        for match in pattern.finditer(said):
            found[f"nncp-{match[1]}"] = f"nncp-{name.format(*match.groups())}"
    return found


def _ports(document: Obj, target: Target) -> set[str]:
    """Ports of its bonds and bridges that it does not make itself: the workers' NICs."""
    made = {str(link.get("name")) for link in manifest.interfaces(document)}
    ports = {p for x in manifest.interfaces(document) if x.get("state") != "absent"
             for p in target.nics.ports(str(x.get("name")), str(x.get("type")))}  # fmt: skip
    return ports - made


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
