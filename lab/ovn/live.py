"""The audit of a running cluster: every zone asked at once, what VMs do meanwhile watched, one picture judged.

Reads only: lists, watches and ``ovn-nbctl list``. A picture counts when no VM moved while it was taken, which a watch
on VMIs, migrations and launcher pods tells; a move means that all zones are read again. Before a fault is reported, the
zones that have it are read once more after a settle time: controllers need a moment to follow, and a zone whose rows
differ then was not at rest.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, BinaryIO, cast

from lab.access.client import Client
from lab.access.errors import ApiError, Forbidden, KindMissing
from lab.access.kinds import NODE, POD, VMI, VMIM, Kind, Obj
from lab.access.watch import Watch
from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.errors import CommandFailed, LabError, UsageError
from lab.core.wait import Periodic
from lab.ovn import inventory as inv
from lab.ovn.audit import Result, conclude, uncollected
from lab.ovn.capture import Capture, scan
from lab.ovn.dump import Scanner
from lab.ovn.nbdata import GLOBAL, POLICIES, PORTS, ROUTER, ROUTERS, ROUTES
from lab.ovn.places import Place, Places, find
from lab.ovn.sources import Source
from lab.target.inventory import Component

ROUNDS = 5
"""Readings of a zone at most before it counts as not coming to rest."""
PARALLEL = 256
SETTLE_S = 5.0
READ_S = 30.0
"""Seconds for one zone; ovn-nbctl itself gives up after 10."""
_HEAD = ("ovn-nbctl", "--no-leader-only", "-t", "10")
TABLES_ARGV: tuple[str, ...] = (
    *(*_HEAD, "--format=json", "list", ROUTES),
    *("--", "--columns=name,static_routes,policies", "list", ROUTERS),
    *("--", "--columns=name,networks", "list", PORTS),
    *("--", "--columns=name,nb_cfg", "list", GLOBAL),
)
"""One transaction, so one moment of the database; a JSON document for each table."""
POLICY_ARGV: tuple[str, ...] = (*TABLES_ARGV, "--", "list", POLICIES)
TEXT_ARGV: tuple[str, ...] = (*_HEAD, "lr-route-list", ROUTER)
"""For an ovn-nbctl that does not know what is asked above."""
INVENTORY = ((VMI, ""), (VMIM, ""), (POD, "kubevirt.io=virt-launcher"))


@dataclass(frozen=True)
class Reading:
    """One zone as it was read: what a paste of it would look like, packed. `error`: why there is nothing."""

    place: Place
    packed: bytes = b""
    error: LabError | None = None

    def same(self, other: Reading) -> bool:
        """Whether both say the same; the order in which a client prints rows says nothing."""
        return self.packed == other.packed or sorted(self.text().split("],[")) == sorted(other.text().split("],["))

    def text(self) -> str:
        """Command line and output."""
        return zlib.decompress(self.packed).decode() if self.packed else ""


@dataclass
class Picture:
    """All zones and the inventory of one moment."""

    places: Places
    readings: list[Reading]
    objects: list[Obj]
    notes: list[tuple[str, str]] = field(default_factory=list)
    complete: bool = True
    """Whether every VM of the cluster is among the objects."""
    restless: list[str] = field(default_factory=list)
    """Zones that differed when they were read last."""
    scanned: Capture | None = None
    """The readings, scanned while others were still on their way."""


def audit_cluster(
    client: Client, component: Component | None = None, *, deadline: Deadline, settle_s: float = SETTLE_S
) -> Result:
    """The findings of a cluster, with zones, inventory and remedies as offline.

    Raises:
        OperatorMissing: no OVN-Kubernetes here.
        AccessDenied, ApiDown, CommandFailed: no zone could be read at all.
    """
    picture = take(client, component, deadline=deadline)
    result = judge(client, picture)
    before = {finding.subject for finding in result.faults}
    for _ in range(ROUNDS):
        zones = {zone for finding in result.faults for zone in finding.zones}
        places = [r.place for r in picture.readings if r.error is None and _named(r.place, zones, result)]
        if not result.faults or deadline.remaining() < settle_s:
            break
        _pause(settle_s)
        if not _again(client, picture, places, deadline):
            break
        result = judge(client, picture)
    else:
        for where in picture.restless:
            result.capture.note(where, f"its routes were others in each of {ROUNDS} readings: not at rest")
    healed = before - {finding.subject for finding in result.faults}
    for subject in sorted(healed):
        result.capture.note(subject, "a fault that was gone when its zones were read again: controllers at work")
    return result


def take(client: Client, component: Component | None, *, deadline: Deadline) -> Picture:
    """Every zone and the inventory, of a time in which no VM moved. Raises as :func:`audit_cluster`."""
    with ThreadPoolExecutor(8) as pool, ExitStack() as watches:
        places = pool.submit(find, client, component, deadline=deadline)
        nodes = pool.submit(client.list, NODE, deadline=deadline)
        opened = [pool.submit(_watch, client, kind, labels) for kind, labels in INVENTORY]
        found, notes = places.result(), []
        open_: list[Watch] = []
        complete = True
        for future in opened:
            watch = future.result()
            if isinstance(watch, str):
                complete = False
                notes.append(("inventory", watch))
            else:
                open_.append(watch)
                watches.callback(watch.close)
        known = nodes.result()
        _nothing(found)
        for _ in range(ROUNDS):
            capture = Capture()
            readings = list(_scanned(capture, _read_all(client, found, found.places, deadline)))
            moved = _moved(open_)
            if not moved or deadline.expired:
                break
            trace.note("audit", f"{', '.join(sorted(moved))} moved meanwhile: every zone is read again", what="audit")
        else:
            notes.append(("zones", f"VMs move all the time ({', '.join(sorted(moved))}): no moment without a move"))
        objects = [obj for watch in open_ for obj in watch.items.values()]
    if all(reading.error is not None for reading in readings):
        raise cast(LabError, min(readings, key=lambda reading: reading.place.pod).error)
    return Picture(found, readings, [*known, *objects], notes, complete, scanned=capture)


def _scanned(capture: Capture, readings: Iterable[Reading]) -> Iterator[Reading]:
    """Scan what has come while the slower zones are still asked."""
    scanner = Scanner(capture, capture.tables, capture.facts)
    for reading in readings:
        for source in _sources([reading]):
            scan(source, scanner, capture)
        yield reading


def judge(client: Client, picture: Picture) -> Result:
    """The findings of a picture. Addresses that only a route has are looked for among all pods."""
    result = _judged(picture, [])
    orphans = [f for f in result.faults if f.kind == "ORPHAN_ROUTE"][:50]
    taken = [pod for f in orphans for pod in _pods_at(client, f.subject)]
    return _judged(picture, taken) if taken else result


def _judged(picture: Picture, more: list[Obj]) -> Result:
    capture, picture.scanned = picture.scanned, None
    if capture is None:
        capture = Capture()
        deque(_scanned(capture, picture.readings), maxlen=0)
    capture.facts.everything = picture.complete
    capture.notes += [*picture.notes, *picture.places.missing]
    for obj in [*picture.objects, *more]:
        meta = obj["metadata"]
        where = f"{obj.get('kind')} {meta.get('namespace', '')}/{meta['name']}".replace(" /", " ")
        inv.objects(capture.facts, obj, f"{where}:0")
    for reading in picture.readings:
        place = reading.place
        if place.node:
            capture.facts.pod_nodes[place.pod] = place.node
        if reading.error is not None:
            capture.note(str(place), f"not read: {reading.error.headline}")
            capture.unusable.append(str(place))
    capture.unusable += [what for what, _ in picture.places.missing]
    with uncollected():
        result = conclude(capture, lambda note: _sources(picture.readings))
    if result is None:
        raise UsageError(
            f"routes of {ROUTER}", capture.instead(), "the zones of the cluster", "is this OVN-Kubernetes?"
        )
    return result


def _sources(readings: Iterable[Reading]) -> Iterator[Source]:
    for reading in readings:
        if reading.error is None:
            yield Source(str(reading.place), cast(BinaryIO, BytesIO(zlib.decompress(reading.packed))), given=True)


def _watch(client: Client, kind: Kind, labels: str) -> Watch | str:
    """A watch that has listed; or why there is none."""
    try:
        return client.watch(kind, labels=labels).__enter__()
    except (Forbidden, KindMissing) as error:
        return f"{kind}s are not known: {error.headline}"


def _nothing(found: Places) -> None:
    if not found.places:
        what = "; ".join(f"{what}: {why}" for what, why in found.missing)
        raise UsageError("a zone whose pod runs", what or "no such pod", "the cluster", "kubectl get pods -A -o wide")


def _read_all(
    client: Client, found: Places, places: tuple[Place, ...] | list[Place], deadline: Deadline
) -> Iterator[Reading]:
    """The zones as they come, the quick ones first."""
    with ThreadPoolExecutor(max(1, min(PARALLEL, len(places)))) as pool:
        futures = [pool.submit(_read, client, found, place, deadline.sub(READ_S)) for place in places]
        for future in as_completed(futures):
            yield future.result()


def _read(client: Client, found: Places, place: Place, deadline: Deadline) -> Reading:
    """One exec; a second one, for plain text, where ovn-nbctl refuses the first."""
    argv = POLICY_ARGV if found.mode == "central" else TABLES_ARGV
    try:
        done = client.exec(place.pod, place.namespace, place.container, argv, deadline=deadline)
        if not done.ok:
            argv = TEXT_ARGV
            done = client.exec(place.pod, place.namespace, place.container, argv, deadline=deadline)
        if not done.ok:
            return Reading(place, error=CommandFailed(done, wanted=f"the routes of {place}"))
    except LabError as error:
        return Reading(place, error=error)
    head = f"$ {place.client} exec -n {place.namespace} -c {place.container} {place.pod} -- {argv[0]} ..."
    if argv is TEXT_ARGV:
        head = head.replace("...", f"lr-route-list {ROUTER}")
    return Reading(place, zlib.compress(f"{head}\n{done.stdout}\n".encode(), 1))


def _moved(watches: list[Watch]) -> set[str]:
    """VMs of which something that decides on routes changed since this was asked last."""
    moved: set[str] = set()
    for watch in watches:
        before = {key: _decisive(obj) for key, obj in watch.items.items()}
        while watch.take(0) is not None:
            pass
        after = {key: _decisive(obj) for key, obj in watch.items.items()}
        moved |= {key for key in {*before, *after} if before.get(key) != after.get(key)}
    return moved


def _decisive(obj: Obj) -> tuple[Any, ...]:
    """What of a VMI, migration or launcher pod OVN-Kubernetes goes by; their other fields change all the time."""
    meta, status = obj["metadata"], obj.get("status") or {}
    state = status.get("migrationState") or {}
    notes, labels = meta.get("annotations") or {}, meta.get("labels") or {}
    return (
        *(meta.get("uid"), status.get("phase"), status.get("nodeName"), (obj.get("spec") or {}).get("nodeName")),
        *(state.get("targetNode"), state.get("completed"), state.get("failed"), labels.get("kubevirt.io/nodeName")),
        *(notes.get("k8s.ovn.org/pod-networks"), notes.get("kubevirt.io/migration-target-ready-timestamp")),
    )


def _named(place: Place, zones: set[str], result: Result) -> bool:
    return not place.node or place.node in zones or place.pod in zones or bool(result.capture.central)


def _again(client: Client, picture: Picture, places: list[Place], deadline: Deadline) -> bool:
    """Read some zones and the inventory once more into the picture; whether anything that decides is another."""
    fresh = {reading.place: reading for reading in _read_all(client, picture.places, places, deadline)}
    old = {reading.place: reading for reading in picture.readings}
    differ = [p for p, reading in fresh.items() if reading.error is None and not reading.same(old[p])]
    picture.readings = [fresh[r.place] if r.place in differ else r for r in picture.readings]
    picture.restless = [str(place) for place in differ]
    before = {_decisive(obj) for obj in picture.objects}
    picture.objects = [obj for obj in picture.objects if obj.get("kind") == NODE.kind]
    for kind, labels in INVENTORY:
        with suppress(Forbidden, KindMissing):
            picture.objects += client.list(kind, labels=labels, deadline=deadline)
    return bool(differ) or {_decisive(obj) for obj in picture.objects} != before


def _pods_at(client: Client, address: str) -> list[Obj]:
    try:
        return client.list(POD, fields=f"status.podIP={address}")
    except ApiError:
        return []


def _pause(seconds: float) -> None:
    Periodic(seconds, "a database announces no change over the Kubernetes API").wait(seconds)
