"""A case as a feature: sentences that steps/ knows, in the order in which a person would try them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lab.cases.document import PLACES, Case, Disturbance, Looks
from lab.cases.objects import Objects
from lab.core.errors import UsageError
from lab.core.numerals import whole
from lab.kubevirt import manifest
from lab.multus import attachment
from lab.target.inventory import Segment, Target

POD_NETWORK = "pod"
MORE_THAN_PROSE = re.compile(r"[@#]|[\w ]+:|\"\"\"|```")


@dataclass(frozen=True)
class Seat:
    """A VM and where it sits: a segment of the target and the attachment to it, or neither: the pod network."""

    looks: Looks
    segment: Segment | None
    nad: str

    @property
    def where(self) -> str:
        """As the end of a sentence."""
        if self.segment is None:
            return "the pod network"
        return f"VLAN {self.segment.vlan}" if self.segment.vlan else f"the network {name_of(self.segment)}"


def name_of(segment: Segment) -> str:
    """A network as the target file names it."""
    return segment.name.removeprefix("network ")


def seats(case: Case, found: Objects, target: Target) -> dict[str, Seat]:
    """Where each VM of the case sits. Raises UsageError when a VM, its attachment or its segment is nowhere."""
    return {looks.vm: _seat(looks, case, found, target) for looks in case.vms}


def _seat(looks: Looks, case: Case, found: Objects, target: Target) -> Seat:
    vm = found.vms.get(looks.vm)
    if vm is None:
        raise UsageError(f"a VirtualMachine {looks.vm}", f"there is {', '.join(found.vms) or 'none'}", advice="add it")
    if looks.segment == POD_NETWORK or (not looks.segment and manifest.on_pod_network(vm)):
        return Seat(looks, None, "")
    nad = looks.nad or _first_nad(looks.vm, vm)
    if nad not in found.nads:
        have = ", ".join(found.nads) or "none"
        raise UsageError(f"the NetworkAttachmentDefinition {nad} of VM {looks.vm}", f"there is {have}", advice="add it")
    if looks.segment:
        vlan = whole(looks.segment.removeprefix("vlan-"))
        return Seat(looks, target.network(looks.segment) if vlan is None else target.vlan(vlan), nad)
    said = attachment.read_attachment(found.nads[nad])
    if said.vlan and said.vlan not in target.vlans:
        have = ", ".join(map(str, sorted(target.vlans))) or "none"
        advice = f"map: {{vlans: {{{said.vlan}: ONE_OF_THEM}}}} in case.yaml"
        raise UsageError(f"VLAN {said.vlan}, of attachment {nad}", f"the target has {have}", str(target.source), advice)
    if said.vlan:
        return Seat(looks, target.vlan(said.vlan), nad)
    if nad not in case.networks:
        have = ", ".join(target.networks) or "none"
        advice = f"map: {{networks: {{{nad}: ONE_OF_THEM}}}} in case.yaml"
        raise UsageError(f"which network {nad} leads to: it has no VLAN", f"the target has {have}", advice=advice)
    return Seat(looks, target.network(case.networks[nad]), nad)


def _first_nad(name: str, vm: Mapping[str, object]) -> str:
    networks = {n.get("name"): n for n in vm["spec"]["template"]["spec"].get("networks") or []}  # type: ignore[index]
    first = networks.get((manifest.interfaces(dict(vm)) or [{}])[0].get("name")) or {}
    found = str((first.get("multus") or {}).get("networkName", ""))
    if not found:
        raise UsageError(
            f"an interface of VM {name} with a multus network", "its first has none", advice="segment: pod"
        )
    return found.rpartition("/")[2]


def feature(case: Case, found: Objects, where: Mapping[str, Seat]) -> str:
    """The text of the feature."""
    about = [f"  {_prose(line)}" for line in case.about.splitlines() if line.strip()]
    told = [f"  * {_line(line)}" for line in found.told]
    name = _line(case.name)
    steps = _joined([*_given(case, found, where), *_looks(where), *_disturbed(case, where)])
    return "\n".join([
        " ".join(_tags(case, found)),
        f"Feature: Case: {name}", *about, *told, "", f"  Scenario: {name}",
        *(f"    {_line(step)}" for step in steps), "",
    ])  # fmt: skip


def _line(text: str) -> str:
    """Somebody's words as one line: what ends a line for anybody would begin a sentence of the feature's own."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _prose(text: str) -> str:
    """A line of the description; one that Gherkin would take for more than that gets a bullet."""
    line = _line(text)
    return f"* {line}" if MORE_THAN_PROSE.match(line) else line


def _joined(steps: list[str]) -> list[str]:
    """``And`` where the keyword would be there twice in a row."""
    words = [step.partition(" ")[0] for step in steps]
    return [
        step if word != before else f"And{step.removeprefix(word)}"
        for step, word, before in zip(steps, words, ["", *words], strict=False)
    ]


def _tags(case: Case, found: Objects) -> Iterator[str]:
    yield "@needs:migration" if case.disturbances else "@needs:kubevirt"
    if found.policies:
        yield "@needs:nmstate"
    if case.disruptive:
        yield "@disruptive"


def _given(case: Case, found: Objects, where: Mapping[str, Seat]) -> Iterator[str]:
    yield from (f"Given the customer's policy {name}" for name in found.policies)
    if any(seat.segment is None for seat in where.values()):
        yield "Given a pod on every worker"
    for name, seat in where.items():
        yield f"Given a VM {name} on {seat.where}{_through(seat)}"
    if not case.gap_ms:
        return
    for name in dict.fromkeys(moved.vm for moved in case.disturbances):
        seat = where[name]
        if seat.segment is None or not seat.segment.vlan:
            raise UsageError(
                f"VM {name} on a VLAN, for longest-gap-ms", f"it is on {seat.where}", advice="leave it out"
            )
        yield f"Given the gateway of {seat.where} pings {name} all the time"


def _through(seat: Seat) -> str:
    """With an address of a VLAN that it shall not reach: without one it could not even try."""
    if seat.segment is None:
        return ""
    foreign = [word.removeprefix("vlan-") for word in seat.looks.not_reaches if word.startswith("vlan-")]
    if len(foreign) > 1 or (foreign and not seat.segment.vlan):
        found = f"{', '.join(seat.looks.not_reaches)} from {seat.where}"
        raise UsageError(
            f"vms.{seat.looks.vm}: at most one VLAN that is not reached, from another VLAN", found, "case.yaml"
        )
    return f" through {seat.nad}" + (f", which also has an address of VLAN {foreign[0]}" if foreign else "")


def _looks(where: Mapping[str, Seat]) -> Iterator[str]:
    for name, seat in where.items():
        for word in seat.looks.reaches:
            yield f"Then {_reached(name, seat, word, where)}"
        for word in seat.looks.not_reaches:
            yield f"Then {_not_reached(name, seat, word, where)}"


def _reached(name: str, seat: Seat, word: str, where: Mapping[str, Seat]) -> str:
    if word == "gateway" and seat.segment is not None:
        return f"{name} reaches the gateway of {seat.where}"
    if word in where and word != name:
        return f"{name} reaches {word}"
    if seat.segment is None and word == "zones":
        return f"{name} is reached from every zone"
    if seat.segment is None and word.startswith("outside:"):
        return f"{name} reaches the outside host {word.partition(':')[2]}"
    raise _no_word(name, word, where, ["zones", "outside:HOST"] if seat.segment is None else ["gateway"])


def _not_reached(name: str, seat: Seat, word: str, where: Mapping[str, Seat]) -> str:
    if word in where and word != name:
        return f"{name} does not reach {word}"
    vlan = whole(word.removeprefix("vlan-")) if word.startswith("vlan-") else None
    if vlan is not None and seat.segment is not None:
        return f"{name} does not reach the gateway of VLAN {vlan}"
    raise _no_word(name, word, where, ["vlan-ID"] if seat.segment is not None else [])


def _no_word(name: str, word: str, where: Mapping[str, Seat], known: list[str]) -> UsageError:
    others = [other for other in where if other != name]
    return UsageError(f"vms.{name}: one of {', '.join([*known, *others]) or 'no word'}", repr(word), "case.yaml")


def _disturbed(case: Case, where: Mapping[str, Seat]) -> Iterator[str]:
    for moved in case.disturbances:
        yield f"When {_done(moved, bool(case.gap_ms))}"
        if case.gap_ms:
            yield f"Then the longest gap is under {case.gap_ms} ms"
        if moved.kind == "cancel":
            yield f"Then {moved.vm} is still on the worker where it was"
        yield from _looks(where)
        if where[moved.vm].segment is None:
            yield f"Then every OVN zone routes {moved.vm} to its node"


def _done(moved: Disturbance, traffic: bool) -> str:
    under = " under this traffic" if traffic else ""
    if moved.kind == "drain":
        return f"the worker of {moved.vm} is drained of it{under}"
    if moved.kind == "cancel":
        return f"a migration of {moved.vm} is cancelled in the middle{under}"
    return f"{moved.vm} migrates {PLACES[moved.to]}{under}"
