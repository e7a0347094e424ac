"""Objects in memory: one revision counter, a bounded history per collection, subscribers told synchronously.

Stored objects are never changed in place: a write puts a new dictionary, readers get the stored one and must `clone`
before changing. The store knows nothing of schemas, admission or HTTP; it never waits, so every write is atomic.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from lab.embedded.apiserver import clock
from lab.embedded.apiserver.history import Change, Collection, History, Obj

Key = tuple[str, str]  # namespace ("" for cluster scope) and name


def now() -> str:
    """The present as metav1.Time prints it."""
    return stamp(clock.now().timestamp())


def stamp(seconds: float) -> str:
    """A moment in seconds since 1970 as metav1.Time prints it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_now() -> str:
    """The present as metav1.MicroTime prints it."""
    return clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def new_uid() -> str:
    return str(uuid.uuid4())


Subscriber = Callable[[Change], None]


class Store:
    """The lab's etcd. Revisions start at 1 and rise by one with every write to anything."""

    def __init__(self) -> None:
        self.revision = 1
        self._objects: dict[Collection, dict[Key, Obj]] = defaultdict(dict)
        self._history: dict[Collection, History] = defaultdict(History)
        self._subscribers: dict[Collection | None, list[Subscriber]] = defaultdict(list)
        self._uids: dict[str, tuple[Collection, Key]] = {}
        self._dependents: dict[str, set[tuple[Collection, Key]]] = defaultdict(set)

    def get(self, collection: Collection, namespace: str, name: str) -> Obj | None:
        return self._objects[collection].get((namespace, name))

    def list(self, collection: Collection, namespace: str = "") -> Iterable[Obj]:
        """Objects sorted by namespace and name, as etcd keeps them; all namespaces for ""."""
        objects = self._objects[collection]
        return [objects[key] for key in sorted(objects) if not namespace or key[0] == namespace]

    def count(self, collection: Collection) -> int:
        return len(self._objects[collection])

    def collections(self) -> Iterable[Collection]:
        """Collections that hold anything."""
        return [collection for collection, objects in self._objects.items() if objects]

    def by_uid(self, uid: str) -> tuple[Collection, Obj] | None:
        found = self._uids.get(uid)
        return (found[0], self._objects[found[0]][found[1]]) if found else None

    def dependents(self, uid: str) -> Iterable[tuple[Collection, Obj]]:
        """Objects with an ownerReference to this uid."""
        found = sorted(self._dependents.get(uid, ()))
        return [(collection, self._objects[collection][key]) for collection, key in found]

    def put(self, collection: Collection, obj: Obj) -> Obj:
        """Store a new object or a new state of one; sets its resourceVersion. The caller gives the object away."""
        meta = obj["metadata"]
        key = (meta.get("namespace", ""), meta["name"])
        self.revision += 1
        meta["resourceVersion"] = str(self.revision)
        previous = self._objects[collection].get(key)
        self._objects[collection][key] = obj
        self._index(collection, key, previous, obj)
        self._tell(Change(self.revision, collection, "MODIFIED" if previous else "ADDED", obj, previous))
        return obj

    def remove(self, collection: Collection, namespace: str, name: str) -> Obj | None:
        """Delete; the last state, as sent to watchers, carries the revision of the deletion."""
        key = (namespace, name)
        previous = self._objects[collection].pop(key, None)
        if previous is None:
            return None
        self.revision += 1
        final = {**previous, "metadata": {**previous["metadata"], "resourceVersion": str(self.revision)}}
        self._index(collection, key, previous, None)
        self._tell(Change(self.revision, collection, "DELETED", final, previous))
        return final

    def subscribe(self, collection: Collection | None, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber` for each change (None: of every collection) until the returned function is called."""
        subscribers = self._subscribers[collection]
        subscribers.append(subscriber)
        return lambda: subscribers.remove(subscriber)

    def changes_since(self, collection: Collection, revision: int) -> Iterable[Change]:
        """Changes after a revision, oldest first. Raises 410 when some of them are no longer kept."""
        return self._history[collection].since(revision)

    def _index(self, collection: Collection, key: Key, previous: Obj | None, obj: Obj | None) -> None:
        for reference in (previous or {}).get("metadata", {}).get("ownerReferences", ()):
            self._dependents[reference["uid"]].discard((collection, key))
            if not self._dependents[reference["uid"]]:
                del self._dependents[reference["uid"]]
        if previous is not None:
            self._uids.pop(previous["metadata"].get("uid", ""), None)
        if obj is not None:
            self._uids[obj["metadata"].get("uid", "")] = (collection, key)
            for reference in obj["metadata"].get("ownerReferences", ()):
                self._dependents[reference["uid"]].add((collection, key))

    def _tell(self, change: Change) -> None:
        self._history[change.collection].add(change)
        for subscriber in [*self._subscribers[change.collection], *self._subscribers[None]]:
            subscriber(change)
