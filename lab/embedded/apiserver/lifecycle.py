"""The server's own loops: garbage collection by owner references, namespaces that empty themselves, CRDs coming and
going, what each new namespace gets.

They work off the store's changes, one queue, and delete through `Deleter` as everybody does, so that finalizers,
webhooks and grace hold for them too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from lab.embedded.apiserver import crd as crds
from lab.embedded.apiserver.deletes import FOREGROUND, ORPHAN, Deleter
from lab.embedded.apiserver.errors import StatusError
from lab.embedded.apiserver.history import Change, Collection
from lab.embedded.apiserver.requests import Call, User
from lab.embedded.apiserver.resources import Registry, Resource
from lab.embedded.apiserver.schema import clone
from lab.embedded.apiserver.store import Store, new_uid, now

Obj = dict[str, Any]
Job = Callable[[], Coroutine[Any, Any, None]]
COLLECTOR = User("system:serviceaccount:kube-system:generic-garbage-collector", ("system:masters",))
NAMESPACES = ("", "namespaces")
EVENTS = ("", "events")
MAX_EVENTS = 2000
log = logging.getLogger(__name__)


class Lifecycle:
    """Runs until cancelled; `changed` must be subscribed to all changes of the store."""

    def __init__(self, store: Store, registry: Registry, deleter: Deleter, ca: str = "") -> None:
        self._store = store
        self._registry = registry
        self._deleter = deleter
        self._ca = ca
        self._jobs: asyncio.Queue[Job] = asyncio.Queue()
        store.subscribe(None, self.changed)

    async def run(self) -> None:
        """Do the queued work, one piece after the other."""
        while True:
            job = await self._jobs.get()
            try:
                await job()
            except StatusError as refusal:
                # For instance a webhook that denies the deletion of a dependent; upstream logs and tries again later.
                log.warning("garbage collection: %s", refusal.message)
            except Exception:
                log.exception("garbage collection failed")

    def changed(self, change: Change) -> None:
        """Look at one change; everything that takes time is queued."""
        if change.collection == crds.COLLECTION:
            self._crd_changed(change)
        meta = change.obj["metadata"]
        if change.type == "DELETED":
            self._owner_gone(meta["uid"])
            self._dependent_gone(meta)
            if meta.get("namespace"):
                self._maybe_finish_namespace(meta["namespace"])
            return
        if change.collection == NAMESPACES:
            if change.type == "ADDED":
                self._furnish(meta["name"])
            if meta.get("deletionTimestamp"):
                self._jobs.put_nowait(lambda: self._empty_namespace(meta["name"]))
        if change.collection == EVENTS and change.type == "ADDED":
            self._forget_old_events()
        if change.type == "ADDED" and meta.get("ownerReferences"):
            self._jobs.put_nowait(lambda: self._check_owners(change.collection, meta["uid"]))
        if meta.get("deletionTimestamp"):
            held = meta.get("finalizers") or ()
            if FOREGROUND in held:
                self._jobs.put_nowait(lambda: self._foreground(change.collection, meta["uid"]))
            elif ORPHAN in held:
                self._jobs.put_nowait(lambda: self._orphan(change.collection, meta["uid"]))

    def _call(self, resource: Resource, obj: Obj) -> Call:
        return Call(COLLECTOR, resource, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])

    async def _delete(self, collection: Collection, obj: Obj, policy: str = "Background") -> None:
        resource = self._registry.storage(collection)
        if resource is None:
            return
        options = {"propagationPolicy": policy, "preconditions": {"uid": obj["metadata"]["uid"]}}
        try:
            await self._deleter.delete(self._call(resource, obj), options)
        except StatusError as refusal:
            if refusal.code not in (404, 409):
                raise

    # Owner references

    def _owner_gone(self, uid: str) -> None:
        for collection, obj in self._store.dependents(uid):
            self._jobs.put_nowait(lambda c=collection, u=obj["metadata"]["uid"]: self._check_owners(c, u))  # type: ignore[misc]

    def _dependent_gone(self, meta: Obj) -> None:
        for reference in meta.get("ownerReferences") or ():
            owner = self._store.by_uid(reference["uid"])
            if owner is not None and FOREGROUND in (owner[1]["metadata"].get("finalizers") or ()):
                self._jobs.put_nowait(lambda c=owner[0], u=reference["uid"]: self._foreground(c, u))  # type: ignore[misc]

    async def _check_owners(self, collection: Collection, uid: str) -> None:
        """Delete an object whose owners are all gone; drop references to those that are gone otherwise."""
        found = self._store.by_uid(uid)
        if found is None:
            return
        obj = found[1]
        references = obj["metadata"].get("ownerReferences") or []
        living = [reference for reference in references if self._store.by_uid(reference["uid"])]
        if len(living) == len(references):
            owners = [self._store.by_uid(reference["uid"]) for reference in references]
            for owner in owners:
                if owner and FOREGROUND in (owner[1]["metadata"].get("finalizers") or ()):
                    await self._foreground(owner[0], owner[1]["metadata"]["uid"])
            return
        if not living:
            await self._delete(collection, obj)
            return
        new = clone(obj)
        new["metadata"]["ownerReferences"] = living
        self._store.put(collection, new)

    async def _foreground(self, collection: Collection, uid: str) -> None:
        """Delete the dependents of an object first; let it go when none is left that blocks."""
        found = self._store.by_uid(uid)
        if found is None:
            return
        blocking = []
        for kind, dependent in list(self._store.dependents(uid)):
            references = dependent["metadata"].get("ownerReferences") or ()
            if any(r["uid"] == uid and r.get("blockOwnerDeletion") for r in references):
                blocking.append(dependent)
            if not dependent["metadata"].get("deletionTimestamp"):
                await self._delete(kind, dependent, "Foreground")
        left = {dependent["metadata"]["uid"] for _kind, dependent in self._store.dependents(uid)}
        if not any(dependent["metadata"]["uid"] in left for dependent in blocking):
            self._drop_finalizer(collection, uid, FOREGROUND)

    async def _orphan(self, collection: Collection, uid: str) -> None:
        for kind, dependent in list(self._store.dependents(uid)):
            new = clone(dependent)
            kept = [r for r in new["metadata"]["ownerReferences"] if r["uid"] != uid]
            new["metadata"]["ownerReferences"] = kept
            if not kept:
                del new["metadata"]["ownerReferences"]
            self._store.put(kind, new)
        self._drop_finalizer(collection, uid, ORPHAN)

    def _drop_finalizer(self, collection: Collection, uid: str, name: str) -> None:
        found = self._store.by_uid(uid)
        resource = self._registry.storage(collection)
        if found is None or resource is None:
            return
        new = clone(found[1])
        new["metadata"]["finalizers"] = [f for f in new["metadata"].get("finalizers") or () if f != name]
        if not new["metadata"]["finalizers"]:
            del new["metadata"]["finalizers"]
        if not self._deleter.remove_if_free(resource, new):
            self._store.put(collection, new)

    # Namespaces

    async def _empty_namespace(self, name: str) -> None:
        for collection in list(self._store.collections()):
            for obj in list(self._store.list(collection, name)):
                if not obj["metadata"].get("deletionTimestamp"):
                    await self._delete(collection, obj)
        self._finish_namespace(name)

    def _maybe_finish_namespace(self, name: str) -> None:
        namespace = self._store.get(NAMESPACES, "", name)
        if namespace is not None and namespace["metadata"].get("deletionTimestamp"):
            self._finish_namespace(name)

    def _finish_namespace(self, name: str) -> None:
        """Remove a namespace that holds nothing any more; say in its status what it waits for otherwise."""
        namespace = self._store.get(NAMESPACES, "", name)
        if namespace is None or not namespace["metadata"].get("deletionTimestamp"):
            return
        counts = {c: len(list(self._store.list(c, name))) for c in self._store.collections()}
        counts = {collection: count for collection, count in counts.items() if count}
        if not counts:
            if "kubernetes" in (namespace.get("spec", {}).get("finalizers") or ()):
                new = clone(namespace)
                new["spec"]["finalizers"] = [f for f in new["spec"]["finalizers"] if f != "kubernetes"]
                if new["spec"]["finalizers"] or new["metadata"].get("finalizers"):
                    self._store.put(NAMESPACES, new)
                    return
            if not namespace["metadata"].get("finalizers"):
                self._store.remove(NAMESPACES, "", name)
            return
        text = ", ".join(f"{p}.{g} has {n} resource instances" for (g, p), n in sorted(counts.items()))
        message = f"Some resources are remaining: {text}"
        conditions = namespace["status"].get("conditions") or []
        if any(condition.get("message") == message for condition in conditions):
            return
        new = clone(namespace)
        new["status"]["conditions"] = [
            {
                "type": "NamespaceContentRemaining",
                "status": "True",
                "reason": "SomeResourcesRemain",
                "message": message,
                "lastTransitionTime": now(),
            }
        ]
        self._store.put(NAMESPACES, new)

    def _furnish(self, namespace: str) -> None:
        """What kube-controller-manager puts into each namespace."""
        self._seed(
            "serviceaccounts", {"kind": "ServiceAccount", "metadata": {"name": "default", "namespace": namespace}}
        )
        root = {"name": "kube-root-ca.crt", "namespace": namespace}
        self._seed("configmaps", {"kind": "ConfigMap", "metadata": root, "data": {"ca.crt": self._ca}})

    def _seed(self, plural: str, obj: Obj) -> None:
        if self._store.get(("", plural), obj["metadata"]["namespace"], obj["metadata"]["name"]) is None:
            obj["metadata"].update(uid=new_uid(), creationTimestamp=now())
            self._store.put(("", plural), {"apiVersion": "v1", **obj})

    def _forget_old_events(self) -> None:
        # Upstream keeps events for an hour; a lab keeps the newest ones.
        if self._store.count(EVENTS) <= MAX_EVENTS:
            return
        events = sorted(self._store.list(EVENTS), key=lambda event: int(event["metadata"]["resourceVersion"]))
        for event in events[: MAX_EVENTS // 10]:
            self._store.remove(EVENTS, event["metadata"]["namespace"], event["metadata"]["name"])

    # CRDs

    def _crd_changed(self, change: Change) -> None:
        spec = change.obj["spec"]
        collection = (spec["group"], spec["names"]["plural"])
        if change.type == "DELETED":
            self._registry.remove(collection)
            for obj in list(self._store.list(collection)):
                self._store.remove(collection, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
            return
        if change.previous is not None and change.previous["spec"] == spec:
            return
        if change.previous is not None:
            self._registry.remove(collection)
        for resource in crds.resources_of(change.obj):
            self._registry.add(resource)
