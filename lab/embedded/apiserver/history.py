"""The changes of a collection that a watch may still begin from: so many, the older ones compressed.

A change holds an object before and after a write. As Python's dictionaries the states of one VMI take a hundred times
what they take compressed, and of a busy collection a thousand are kept: only the newest, from which nearly every watch
begins, stay as they are. Knows nothing of watches, and changes no object.
"""

from __future__ import annotations

import json
import zlib
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from lab.embedded.apiserver.errors import too_old

Obj = dict[str, Any]
Collection = tuple[str, str]  # group and plural; all versions share one collection

MOST = 1000
PLAIN = 30
"""Changes of a collection that are kept as they are, with the watch lines that were made of them."""
_LEVEL = 1


@dataclass(slots=True)
class Change:
    """One write. `type` is ADDED, MODIFIED or DELETED; `previous` is the object before it (None for ADDED)."""

    revision: int
    collection: Collection
    type: str
    obj: Obj
    previous: Obj | None
    encoded: dict[str, bytes] = field(default_factory=dict)  # watch lines by apiVersion, shared between watchers


@dataclass(slots=True, frozen=True)
class Packed:
    """A change, its objects as compressed JSON: the second state costs little beside the first."""

    revision: int
    collection: Collection
    type: str
    states: bytes

    @classmethod
    def of(cls, change: Change) -> Packed:
        states = json.dumps([change.obj, change.previous], separators=(",", ":"), ensure_ascii=False)
        packed = zlib.compress(states.encode("utf-8", "surrogatepass"), _LEVEL)
        return cls(change.revision, change.collection, change.type, packed)

    def change(self) -> Change:
        obj, previous = json.loads(zlib.decompress(self.states).decode("utf-8", "surrogatepass"))
        return Change(self.revision, self.collection, self.type, obj, previous)


class History:
    """The newest `most` changes of one collection, oldest first."""

    def __init__(self, most: int = MOST) -> None:
        self._old: deque[Packed] = deque()
        self._new: deque[Change] = deque()
        self._most = most
        self._forgotten = 0

    def add(self, change: Change) -> None:
        """Keep a change; the oldest goes when there are more than may be."""
        self._new.append(change)
        if len(self._new) > PLAIN:
            self._old.append(Packed.of(self._new.popleft()))
        if len(self._old) + len(self._new) > self._most:
            self._forgotten = (self._old or self._new).popleft().revision

    def since(self, revision: int) -> list[Change]:
        """Changes after a revision. Raises 410 when some of them are no longer kept."""
        if revision < self._forgotten:
            raise too_old(revision, self._forgotten)
        old = [packed.change() for packed in self._old if packed.revision > revision]
        return old + [change for change in self._new if change.revision > revision]
