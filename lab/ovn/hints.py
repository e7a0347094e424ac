"""Whose routes come next: what a command line, a file name or a heading says of the zone behind it.

Also how text is cut into pieces. Nothing is kept here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lab.ovn.inventory import OVNKUBE
from lab.ovn.lines import printable
from lab.ovn.zone import Zone

PIECE = 1 << 15
"""Characters taken at once: small enough that few pieces hold a row twice, large enough to make calls rare."""
COMMAND = re.compile(r"\blr-route-list\b(?:\s+([-\w.]+))?")
_NAMESPACE = re.compile(r"(?:-n|--namespace)[= ]([-a-z0-9.]+)")
_CONTAINER = re.compile(r"(?:-c|--container)[= ]([-a-z0-9.]+)")
_CLIENT = re.compile(r"\b(oc|kubectl)\b")


def of_line(source: str, number: int, line: str) -> Zone | None:
    """The zone that a line names by its ovnkube pod; None when it names none."""
    pod = OVNKUBE.search(line)
    if pod is None:
        return None
    found = (_NAMESPACE.search(line), _CONTAINER.search(line), _CLIENT.search(line))
    namespace, container, client = (match[1] if match is not None else "" for match in found)
    return Zone(-1, source, number, pod[0], namespace, container, client)


def of_path(source: str, path: str) -> Zone:
    """The zone that a file's name stands for: its pod where the path has one, else the name itself."""
    match = OVNKUBE.search(path)
    stem = path.replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0]
    return Zone(-1, source, 0, match[0] if match else "", name=printable(stem, 80))


def pieces(text: str) -> Iterator[str]:
    """Whole lines of about :data:`PIECE` characters."""
    at, end = 0, len(text)
    while at <= end:
        cut = text.rfind("\n", at, at + PIECE) if end - at > PIECE else end
        if cut < 0:
            cut = text.find("\n", at)
            cut = end if cut < 0 else cut
        yield text[at:cut]
        at = cut + 1
