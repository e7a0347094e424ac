"""What stands out in a picture: where one worker differs from the others, or a part of it cannot carry packets.

It compares what was read and judges nothing: a difference is where a reader looks first, not a cause. Pure functions
on the plain data of :mod:`lab.evidence.picture`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Worker = Mapping[str, Any]
BRIDGES = frozenset({"ovs-bridge", "linux-bridge"})


def of(workers: Sequence[Worker]) -> list[str]:
    """Sentences, each with the worker first; the parts nearest to the cable first."""
    return list(
        dict.fromkeys([*_links(workers), *_bonds(workers), *_bridges(workers), *_mappings(workers), *_tables(workers)])
    )


def _links(workers: Sequence[Worker]) -> Iterable[str]:
    """NICs without a link that are part of something, or have a link elsewhere."""
    for worker in workers:
        for name in worker.get("dark") or ():
            others = [w["name"] for w in workers if name in (w.get("lit") or ())]
            link = next((x for x in worker.get("links") or () if x["name"] == name), None)
            part = f" of {link['controller']}" if link and link.get("controller") else ""
            if part or others:
                yield f"{worker['name']}: {name}{part} has no link" + (
                    f"; it has one on {_and(others)}" if others else ""
                )


def _bonds(workers: Sequence[Worker]) -> Iterable[str]:
    for worker in workers:
        for bond in worker.get("bonds") or ():
            for trouble in bond["troubles"]:
                if not trouble.endswith("has no link"):
                    yield f"{worker['name']}: {bond['name']}: {trouble}"


def _bridges(workers: Sequence[Worker]) -> Iterable[str]:
    """Bridges that only some workers have, and what nmstate does not report yet."""
    yield from _some(workers, _bridges_of, lambda name: f"bridge {name}")
    for worker in workers:
        reported = {x["name"] for x in worker.get("links") or () if x["type"] in BRIDGES}
        for name, ports in sorted((worker.get("bridges") or {}).items()):
            if reported and name not in reported:
                below = f"over {', '.join(ports)}" if ports else "without any port"
                yield f"{worker['name']}: Linux bridge {name} {below}, which nmstate does not report"


def _bridges_of(worker: Worker) -> set[str]:
    reported = {str(x["name"]) for x in worker.get("links") or () if x["type"] in BRIDGES}
    return reported | set(worker.get("bridges") or {})


def _mappings(workers: Sequence[Worker]) -> Iterable[str]:
    yield from _some(
        workers, lambda w: {f"{n} → {b}" for n, b in (w.get("mappings") or {}).items()}, lambda n: f"OVN mapping {n}"
    )


def _tables(workers: Sequence[Worker]) -> Iterable[str]:
    """Tables of the packet filter; workers whose filter could not be read are left out."""
    known = [w for w in workers if w.get("tables") is not None]
    yield from _some(
        known,
        lambda w: {str(t).removeprefix("table ") for t in w["tables"] if t},
        lambda t: f"packet filter table {t}",
    )


def _some(workers: Sequence[Worker], have: Callable[[Worker], set[str]], called: Callable[[str], str]) -> Iterable[str]:
    """What some of the workers have and others have not, told of the fewer."""
    known = [w for w in workers if w.get("links") or w.get("ports")]
    for name in sorted({name for w in known for name in have(w)}):
        having = [str(w["name"]) for w in known if name in have(w)]
        lacking = [str(w["name"]) for w in known if name not in have(w)]
        if not lacking:
            continue
        few, rest, verb = (having, lacking, "have") if len(having) < len(lacking) else (lacking, having, "lack")
        others = "no other worker has it" if verb == "have" else f"{_and(rest)} {_form(rest, 'have')} it"
        yield f"{_and(few)}: {_form(few, verb)} {called(name)}; {others}"


def _form(names: Sequence[str], verb: str) -> str:
    return verb if len(names) > 1 else {"have": "has", "lack": "lacks"}[verb]


def _and(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)
