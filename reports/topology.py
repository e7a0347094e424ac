"""The network as a picture: each worker from its guests down to its NICs, the switch, the gateways; the path of the
probe that did not hold, and where it broke.

It draws what the record has and adds no judgement: the broken place is the one that diagnosis named. A worker whose
parts are not known is drawn as a box that says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from reports import svg

COLUMN, GAP, MARGIN = 236, 18, 12
LANE = 20
"""Where in a column the probe's path runs; boxes begin to the right of it."""
LEFT, INNER = 38, COLUMN - 48
TOP = {"vm": 44, "ovn": 104, "bridge": 176, "bond": 234, "nics": 288, "switch": 386, "gateway": 462}
HEIGHT, NODE = 516, 346
BREAKS = {
    "vm": 93,
    "tap": 93,
    "ovn": 119,
    "mapping": 155,
    "patch": 155,
    "bridge": 192,
    "uplink": 249,
    "cable": 368,
    "network": 432,
    "gateway": 444,
}
"""Where on the path the mark of each part stands; the parts are those of lab.core.facts."""
MOST = 6
"""Workers in one picture; those on the path first."""


@dataclass(frozen=True)
class Path:
    """What the probe went along: workers, the segment, whether it held, and where it broke ("" not known)."""

    nodes: tuple[str, ...]
    segment: str
    held: bool
    node: str = ""
    part: str = ""
    to_gateway: bool = True
    vm: str = ""


@dataclass(frozen=True)
class _Column:
    worker: Mapping[str, Any]
    x: float

    @property
    def middle(self) -> float:
        """Of the boxes."""
        return self.x + LEFT + INNER / 2

    @property
    def name(self) -> str:
        return str(self.worker["name"])


def draw(
    picture: Mapping[str, Any], path: Path | None, witnesses: Sequence[Mapping[str, Any]] = (), segment_name: str = ""
) -> Markup:
    """The picture as SVG. *witnesses*: what each worker's resident said, for a line in its column.

    The segment that is drawn is the path's, or that named, or none.
    """
    workers = _chosen(picture["workers"], path)
    columns = [_Column(w, MARGIN + i * (COLUMN + GAP)) for i, w in enumerate(workers)]
    segments = [s for s in picture["segments"] if s.get("gateway")]
    width = max(2 * MARGIN + len(columns) * (COLUMN + GAP) - GAP, 2 * MARGIN + len(segments[:4]) * 190, 320)
    wanted = path.segment if path else segment_name
    segment = next((s for s in segments if s["name"] == wanted), None)
    said = {str(w.get("node")): w for w in witnesses}
    parts: list[Markup] = []
    for column in columns:
        parts += _worker(column, segment, said.get(column.name))
    parts += _switch(width, segment)
    places = _gateways(segments, width, path)
    parts += [drawn for _, drawn in places.values()]
    if path and columns:
        parts += _path(columns, path, {name: x for name, (x, _) in places.items()})
    return svg.drawing(width, HEIGHT, _label(path), parts, "topology")


def _chosen(workers: Sequence[Mapping[str, Any]], path: Path | None) -> list[Mapping[str, Any]]:
    """The path's workers and as many others as there is room for, in the order of their names."""
    on = set(path.nodes) | {path.node} if path else set()
    chosen = sorted(workers, key=lambda w: (w["name"] not in on, w["name"]))[:MOST]
    return sorted(chosen, key=lambda w: (w["name"] not in on, w["name"]))


def _label(path: Path | None) -> str:
    if path is None:
        return "The network: workers with their bridges, bonds and NICs; the switch; the gateways"
    way = " and ".join(path.nodes) or "no worker"
    broke = f", broken at the {path.part}" + (f" of {path.node}" if path.node else "") if path.part else ""
    return f"The path of the probe on {path.segment}: {way}" + (
        "" if path.held else broke or ", broken at an unknown place"
    )


def _worker(column: _Column, segment: Mapping[str, Any] | None, witness: Mapping[str, Any] | None) -> list[Markup]:
    inner, width = column.x + LEFT, INNER
    parts = [
        svg.rect(column.x, 8, COLUMN, NODE, "node", 10),
        svg.text(column.middle, 29, column.name, "name", width=width),
    ]
    if not column.worker.get("links") and not column.worker.get("ports"):
        trouble = str(column.worker.get("trouble") or "nothing is known of it")
        return [*parts, svg.text(column.middle, 180, trouble, "dim", width=width)]
    parts += _vms(column)
    parts += [svg.rect(inner, TOP["ovn"], width, 30, "box"), svg.text(column.middle, TOP["ovn"] + 19, "OVN · br-int")]
    bridge, uplink = _used(column.worker, segment)
    parts += _mapping(column, segment, bridge)
    if bridge:
        parts += _bridge(column, bridge, uplink)
    else:
        said = "no bridge for it" if uplink is None else "no bridge over it"
        parts.append(svg.text(column.middle, TOP["bridge"] + 20, said, "dim", width=width))
        parts += _bond(column, uplink, {}) if uplink is not None else []
    parts += _nics(column, uplink)
    if witness is not None:
        parts.append(_witness(column, witness))
    return parts


def _vms(column: _Column) -> list[Markup]:
    vms = column.worker.get("vms") or []
    if not vms:
        return [svg.text(column.middle, TOP["vm"] + 24, "no VM of this scenario", "dim")]
    shown = vms[:2]
    width = (INNER - 6 * (len(shown) - 1)) / len(shown)
    parts = []
    for index, vm in enumerate(shown):
        x = column.x + LEFT + index * (width + 6)
        address = ", ".join(str(a).partition("/")[0] for a in vm.get("addresses") or []) or str(vm.get("segment", ""))
        parts += [
            svg.rect(x, TOP["vm"], width, 38, "vm"),
            svg.text(x + width / 2, TOP["vm"] + 16, str(vm["name"]), "strong", width=width),
            svg.text(x + width / 2, TOP["vm"] + 31, address, "small", width=width),
        ]
    if len(vms) > 2:
        parts.append(svg.text(column.x + COLUMN - 10, TOP["vm"] + 50, f"and {len(vms) - 2} more", "dim small", "end"))
    return parts


def _mapping(column: _Column, segment: Mapping[str, Any] | None, bridge: str) -> list[Markup]:
    """OVN's mapping of the segment's localnet, as the worker's own switch has it."""
    mappings: Mapping[str, str] = column.worker.get("mappings") or {}
    name = _localnet(segment, mappings)
    if not name or _is_linux(column.worker, name):
        return []
    mapped = mappings.get(name)
    said = f"{name} → {mapped}" if mapped else f"{name}: no mapping"
    y = (TOP["ovn"] + 30 + TOP["bridge"]) / 2 + 4.0
    return [svg.text(column.middle, y, said, "small" if mapped else "small bad", width=INNER)]


def _is_linux(worker: Mapping[str, Any], name: str) -> bool:
    """Whether it is a Linux bridge: pods are ports of it, and OVN has no part in that."""
    links = worker.get("links") or ()
    return any(x["name"] == name and x["type"] == "linux-bridge" for x in links) or name in (
        worker.get("bridges") or ()
    )


def _localnet(segment: Mapping[str, Any] | None, mappings: Mapping[str, str]) -> str:
    if segment is None:
        return ""
    if segment.get("localnet"):
        return str(segment["localnet"])
    number = str(segment.get("vlan") or "")
    return next((n for n in mappings if number and number in n), f"vlan-{number}" if number else "")


def _used(worker: Mapping[str, Any], segment: Mapping[str, Any] | None) -> tuple[str, Mapping[str, Any] | None]:
    """The bridge that the segment leaves by, and the link that is its uplink."""
    links = {str(link["name"]): link for link in worker.get("links") or []}
    made = [n for n, link in links.items() if link["type"] in {"ovs-bridge", "linux-bridge"} and n not in {"br-int"}]
    made += [n for n in worker.get("bridges") or () if n not in links]
    mappings: Mapping[str, str] = worker.get("mappings") or {}
    bridge = mappings.get(_localnet(segment, mappings), "")
    if not bridge:
        others = [n for n in made if n != "br-ex"]
        lone = next((x for x in links.values() if x["type"] == "bond" and not x.get("controller")), None)
        if segment is None and not others and lone is not None:
            return "", lone
        bridge = others[0] if others else (made[0] if made and segment is None else "")
    ports = [p for p in (links.get(bridge, {}).get("ports") or []) if p != bridge and not str(p).startswith("patch-")]
    ports += [
        p["name"] for p in worker.get("ports") or [] if p["bridge"] == bridge and len(p.get("interfaces") or ()) > 1
    ]
    for kind in ("bond", "ethernet", "vlan"):
        for port in ports:
            if port in links and links[port]["type"] == kind:
                return bridge, links[port]
    return bridge, None


def _bridge(column: _Column, bridge: str, uplink: Mapping[str, Any] | None) -> list[Markup]:
    x, width = column.x + LEFT, INNER
    mine = [p for p in column.worker.get("ports") or [] if p["bridge"] == bridge]
    held = sorted({str(p["stp"]) for p in mine if p.get("stp") and p["stp"] != "forwarding"})
    said = bridge + (f" · {', '.join(held)}" if held else "")
    parts = [
        svg.rect(x, TOP["bridge"], width, 32, "box bridge" + (" warn" if held else "")),
        svg.text(column.middle, TOP["bridge"] + 20, said, "strong", width=width),
    ]
    if uplink is None:
        parts.append(svg.text(column.middle, TOP["bond"] + 20, "no uplink", "bad", width=width))
    elif uplink["type"] == "bond":
        parts += _bond(column, uplink, next((p for p in mine if p["name"] == uplink["name"]), {}))
    return parts


def _bond(column: _Column, uplink: Mapping[str, Any], port: Mapping[str, Any]) -> list[Markup]:
    tags = ", ".join(str(t) for t in port.get("trunks") or []) or (str(port["tag"]) if port.get("tag") else "")
    label = str(uplink["name"]) + (f" · VLANs {tags}" if tags else "")
    return [
        svg.rect(column.x + LEFT, TOP["bond"], INNER, 30, "box" + (" down" if uplink.get("state") == "down" else "")),
        svg.text(column.middle, TOP["bond"] + 19, label, width=INNER),
    ]


def _nics(column: _Column, uplink: Mapping[str, Any] | None) -> list[Markup]:
    """The NICs below the uplink; which others there are is of no use to this path."""
    links = {str(link["name"]): link for link in column.worker.get("links") or []}
    if uplink is None:
        return []
    names = [str(p) for p in uplink.get("ports") or []] if uplink["type"] == "bond" else [str(uplink["name"])]
    names = names[:3]
    width = (INNER - 6 * (len(names) - 1)) / max(1, len(names))
    parts = []
    for index, name in enumerate(names):
        x = column.x + LEFT + index * (width + 6)
        trouble = _trouble(column.worker, links, name)
        parts += [
            svg.rect(x, TOP["nics"], width, 28, "nic down" if trouble else "nic", 4),
            svg.text(x + width / 2, TOP["nics"] + 18, name, "small bad" if trouble else "small", width=width),
            svg.line([(x + width / 2, TOP["nics"] + 28), (x + width / 2, TOP["switch"])], "wire"),
            *([svg.text(x + width / 2, TOP["nics"] + 40, trouble, "small bad halo", width=width)] if trouble else []),
        ]
    return parts


def _trouble(worker: Mapping[str, Any], links: Mapping[str, Mapping[str, Any]], name: str) -> str:
    """Why a NIC carries nothing, in two words."""
    if links.get(name, {}).get("state") == "down":
        return "down"
    if name in (worker.get("dark") or ()):
        return "no link"
    said = [t for b in worker.get("bonds") or () for t in b["troubles"] if str(t).startswith(f"{name} ")]
    return "no partner" if said else ""


def _witness(column: _Column, witness: Mapping[str, Any]) -> Markup:
    said, class_ = "its resident could not be asked", "dim"
    if witness.get("gateway") is not None:
        said, class_ = ("its resident: answer", "good") if witness["gateway"] else ("its resident: no answer", "bad")
    return svg.text(column.middle, TOP["nics"] + 54, said, f"small halo {class_}", width=INNER)


def _switch(width: float, segment: Mapping[str, Any] | None) -> list[Markup]:
    said = "switch" + (f" · {segment['name']}" if segment else "")
    return [
        svg.rect(MARGIN, TOP["switch"], width - 2 * MARGIN, 34, "switch"),
        svg.text(width / 2, TOP["switch"] + 22, said, "strong"),
    ]


def _gateways(
    segments: Sequence[Mapping[str, Any]], width: float, path: Path | None
) -> dict[str, tuple[float, Markup]]:
    """Name of each segment -> where its gateway stands, and its drawing."""
    chosen = sorted(segments, key=lambda s: not (path and s["name"] == path.segment))[:4]
    step = (width - 2 * MARGIN) / max(1, len(chosen))
    found = {}
    for index, segment in enumerate(chosen):
        middle = MARGIN + step * (index + 0.5)
        box = min(178.0, step - 8)
        mine = path is not None and segment["name"] == path.segment
        drawn = Markup("").join(
            [
                svg.line([(middle, TOP["switch"] + 34), (middle, TOP["gateway"])], "wire"),
                svg.rect(middle - box / 2, TOP["gateway"], box, 44, "gateway" + ("" if mine or not path else " aside")),
                svg.text(middle, TOP["gateway"] + 18, str(segment["name"]), "strong", width=box),
                svg.text(middle, TOP["gateway"] + 35, f"gateway {segment['gateway']}", "small", width=box),
            ]
        )
        found[str(segment["name"])] = (middle, drawn)
    return found


def _path(columns: Sequence[_Column], path: Path, gateways: Mapping[str, float]) -> list[Markup]:
    """The way of the probe: whole up to where it broke, broken from there."""
    by_name = {c.name: c for c in columns}
    on = [by_name[n] for n in path.nodes if n in by_name]
    if not on:
        return []
    points = [*_down(on[0])]
    if path.to_gateway and path.segment in gateways:
        x = gateways[path.segment]
        points += [(x, TOP["switch"] + 17.0), (x, TOP["gateway"] + 2.0)]
    elif len(on) > 1:
        points += [(x, y) for x, y in reversed(_down(on[1]))]
    if path.held:
        return [svg.line(points, "path good")]
    if not path.part:
        return [svg.line(points, "path lost")]
    at = _broken(path, by_name, on, gateways)
    index = _nearest(points, at)
    before, after = [*points[: index + 1], at], [at, *points[index + 1 :]]
    x, y = at
    cross = [svg.line([(x - 6, y - 6), (x + 6, y + 6)], "mark"), svg.line([(x - 6, y + 6), (x + 6, y - 6)], "mark")]
    return [
        svg.line(before, "path good"),
        svg.line(after, "path lost"),
        svg.element("circle", cx=x, cy=y, r=12, class_="break"),
        *cross,
    ]


def _down(column: _Column) -> list[tuple[float, float]]:
    """From a guest to the middle of the switch."""
    return [
        (column.x + LEFT, TOP["vm"] + 19.0),
        (column.x + LANE, TOP["vm"] + 19.0),
        (column.x + LANE, TOP["switch"] + 17.0),
    ]


def _broken(
    path: Path, by_name: Mapping[str, _Column], on: Sequence[_Column], gateways: Mapping[str, float]
) -> tuple[float, float]:
    y = float(BREAKS.get(path.part, TOP["switch"]))
    if path.part in {"gateway", "network"}:
        return gateways.get(path.segment, on[0].x + LANE), y
    return by_name.get(path.node, on[0]).x + LANE, y


def _nearest(points: Sequence[tuple[float, float]], at: tuple[float, float]) -> int:
    """The index of the last point before *at* on the way; the end when it lies on none of its parts."""
    for index, ((ax, ay), (bx, by)) in enumerate(pairwise(points)):
        if min(ax, bx) - 1 <= at[0] <= max(ax, bx) + 1 and min(ay, by) - 1 <= at[1] <= max(ay, by) + 1:
            return index
    return len(points) - 2
