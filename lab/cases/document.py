"""``case.yaml``, typed: which VM, what it must reach, what disturbs it, and how names here differ. Data only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.core.errors import UsageError
from lab.target.document import Section, read

FILE = "case.yaml"
SCHEMA = Path(__file__).with_name("case.schema.json")
VM = re.compile(r"[a-z](?:[-a-z0-9]*[a-z0-9])?")
KINDS = ("migrate", "drain", "cancel")
PLACES = {
    "another": "to another worker",
    "new": "to a worker it has not been on",
    "back": "back to the worker it started on",
}


@dataclass(frozen=True)
class Looks:
    """What is looked at from one VM. ``segment`` and ``nad`` are empty where its manifest says them."""

    vm: str
    segment: str
    nad: str
    reaches: tuple[str, ...]
    not_reaches: tuple[str, ...]


@dataclass(frozen=True)
class Disturbance:
    """One of KINDS, the VM, and for a migration one of PLACES."""

    kind: str
    vm: str
    to: str


@dataclass(frozen=True)
class Case:
    """One case. ``gap_ms`` is 0 where no traffic is to flow meanwhile."""

    name: str
    about: str
    vms: tuple[Looks, ...]
    disturbances: tuple[Disturbance, ...]
    gap_ms: int
    disruptive: bool
    """Whether a policy may touch a node's own network, where the target allows it."""
    manifests: tuple[Path, ...]
    """Files and folders with the customer's objects."""
    vlans: Mapping[int, int]
    """VLAN of the customer -> VLAN of the target."""
    networks: Mapping[str, str]
    """NAD of the customer -> network of the target, for one that is untagged."""
    nics: Mapping[str, str]


def load(folder: Path) -> Case:
    """The case of a folder. Raises UsageError with file, line and key."""
    if not folder.is_dir():
        raise UsageError(f"a folder with a {FILE}", "no such folder", str(folder))
    if not (folder / FILE).is_file():
        have = ", ".join(sorted(p.name for p in folder.iterdir())) or "nothing"
        raise UsageError(f"a file {FILE}", f"there is {have}", str(folder), "docs/cases.md shows one")
    top = read(folder / FILE, f"a {FILE}", SCHEMA)
    names = top.section("map")
    case = Case(
        name=top.text("name").strip(),
        about=top.text("about"),
        vms=tuple(_looks(name, below) for name, below in top.named("vms").items()),
        disturbances=tuple(_disturbance(below) for below in top.sections("disturbances")),
        gap_ms=top.number("longest-gap-ms"),
        disruptive=top.flag("disruptive"),
        manifests=tuple(_there(top, folder, name) for name in top.texts("manifests", (".",))),
        vlans={int(theirs): int(ours) for theirs, ours in _table(names, "vlans").items()},
        networks=_table(names, "networks"),
        nics=_table(names, "nics"),
    )
    _check(top, case)
    return case


def _there(top: Section, folder: Path, name: str) -> Path:
    if not (folder / name).exists():
        raise top.complain("manifests", f"a file or folder, seen from {folder}", f"{name!r} is not there")
    return folder / name


def _looks(name: str, section: Section) -> Looks:
    return Looks(
        name,
        section.text("segment"),
        section.text("attachment"),
        section.texts("reaches"),
        section.texts("does-not-reach"),
    )


def _disturbance(section: Section) -> Disturbance:
    chosen = [kind for kind in KINDS if section.has(kind)]
    if len(chosen) != 1:
        found = " and ".join(chosen) or ", ".join(section.keys())
        raise UsageError(f"{section.key}: one of {', '.join(KINDS)}", found, f"{section.path}, line {section.line}")
    if chosen[0] != "migrate" and section.has("to"):
        raise section.complain("to", "nothing: only a migration goes to a place", section.text("to"))
    return Disturbance(chosen[0], section.text(chosen[0]), section.text("to", "another"))


def _table(names: Section | None, key: str) -> dict[str, str]:
    below = names.section(key) if names is not None else None
    return {name: below.text(name) for name in below.keys()} if below is not None else {}  # noqa: SIM118


def _check(top: Section, case: Case) -> None:
    known = {looks.vm for looks in case.vms}
    for looks in case.vms:
        if not VM.fullmatch(looks.vm):
            raise top.complain("vms", "names of VMs (small letters, digits, dashes)", repr(looks.vm))
        if not looks.reaches and not looks.not_reaches:
            raise top.complain("vms", f"what {looks.vm} reaches or does not reach", "neither", "reaches: [gateway]")
    for moved in case.disturbances:
        if moved.vm not in known:
            raise top.complain("disturbances", f"one of the VMs {', '.join(sorted(known))}", repr(moved.vm))
        if case.gap_ms and moved.to != "another":
            raise top.complain("disturbances", "`to: another` while traffic is measured", f"to: {moved.to}")
        if not case.gap_ms and moved.kind != "migrate":
            raise top.complain("disturbances", f"longest-gap-ms, for {moved.kind} is judged by traffic", "none")
