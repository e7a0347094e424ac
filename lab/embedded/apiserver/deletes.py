"""Deletion: preconditions, grace, finalizers, propagation; one object or a collection.

A deletion either removes the object or marks it (deletionTimestamp) and leaves it to whoever holds a finalizer, to the
kubelet (pods that run) or to the server's own loops (namespaces, foreground and orphan propagation).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from lab.embedded.apiserver import clock, errors, incoming
from lab.embedded.apiserver.objects import invalid_value
from lab.embedded.apiserver.requests import Call
from lab.embedded.apiserver.resources import Resource
from lab.embedded.apiserver.schema import clone
from lab.embedded.apiserver.writes import Writer

Obj = dict[str, Any]
FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
LONGEST_GRACE_S = 2**31
"""A deletion further away than this has no date."""
_IMMORTAL = frozenset(["default", "kube-system", "kube-public"])
"""Namespaces that stay (kubernetes plugin/pkg/admission/namespace/lifecycle/admission.go)."""
_RETURNS_OBJECT = frozenset(["pods", "serviceaccounts", "services", "persistentvolumeclaims", "persistentvolumes"])


def read_options(body: Any, query: dict[str, str]) -> Obj:
    """DeleteOptions from body and query, the body wins. Raises 400 for wrong types, 422 for wrong values."""
    options: Obj = {}
    if query.get("gracePeriodSeconds"):
        options["gracePeriodSeconds"] = query["gracePeriodSeconds"]
    if query.get("propagationPolicy"):
        options["propagationPolicy"] = query["propagationPolicy"]
    if query.get("orphanDependents"):
        options["orphanDependents"] = query["orphanDependents"] == "true"
    if body is not None:
        options.update(incoming.well_typed("DeleteOptions", "V1DeleteOptions", body))
    grace = options.get("gracePeriodSeconds")
    if grace is not None:
        try:
            options["gracePeriodSeconds"] = int(grace)
        except (TypeError, ValueError) as error:
            raise errors.bad_request(f"gracePeriodSeconds must be a number of seconds, found {grace!r}") from error
    policy = options.get("propagationPolicy")
    if policy not in (None, "Foreground", "Background", "Orphan"):
        why = 'must be one of "Background", "Foreground", "Orphan"'
        cause = invalid_value("propagationPolicy", policy, why)
        raise errors.invalid("meta.k8s.io", "DeleteOptions", "", [cause])
    return options


class Deleter:
    """Deletion of stored objects; `writer` gives admission and the hook that tells of removals."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._store = writer.store

    async def delete(self, call: Call, options: Obj) -> tuple[Obj, int]:
        """Delete; (Status or object, HTTP code)."""
        resource = call.resource
        call.warn(resource.warning)
        dry_run = call.dry_run or options.get("dryRun") == ["All"]
        obj = self._writer.find(call)
        check_preconditions(call, obj, options)
        if (resource.group, resource.plural) == ("", "namespaces") and call.name in _IMMORTAL:
            raise errors.forbidden("", resource.plural, call.name, "this namespace may not be deleted")
        await self._writer.admission.validate(call, "DELETE", None, obj)
        # Admission took time: look again.
        obj = self._writer.find(call)
        check_preconditions(call, obj, options)
        marked = self._marked(resource, obj, options)
        if marked is None:
            if not dry_run:
                final = self._store.remove(resource.collection, call.namespace, call.name)
                self._writer.removed(resource, final or obj)
            return (obj if resource.plural in _RETURNS_OBJECT else _success(resource, obj)), 200
        if marked is obj or dry_run:
            return marked, 200
        return self._store.put(resource.collection, marked), 200

    def _marked(self, resource: Resource, obj: Obj, options: Obj) -> Obj | None:
        """The object marked for deletion, itself when it already is, or None when it may go at once."""
        meta = obj["metadata"]
        finalizers = _finalizers(obj, options)
        grace = _grace(resource, obj, options)
        waits = bool(finalizers) or grace > 0 or bool(_namespace_finalizers(resource, obj))
        if not waits:
            return None
        already = bool(meta.get("deletionTimestamp"))
        shorter = already and grace < (meta.get("deletionGracePeriodSeconds") or 0)
        if already and not shorter and finalizers == (meta.get("finalizers") or []):
            return obj
        new: Obj = clone(obj)
        if finalizers:
            new["metadata"]["finalizers"] = finalizers
        if not already or shorter:
            new["metadata"]["deletionTimestamp"] = clock.stamp(clock.now() + timedelta(seconds=grace))
            new["metadata"]["deletionGracePeriodSeconds"] = grace
            if "generation" in meta:
                new["metadata"]["generation"] = meta["generation"] + 1
        if resource.collection == ("", "namespaces"):
            new["status"] = {**new.get("status", {}), "phase": "Terminating"}
            new["metadata"].pop("deletionGracePeriodSeconds", None)
        return new

    def remove_if_free(self, resource: Resource, obj: Obj) -> bool:
        """Remove an object that is marked and that nothing holds any more."""
        meta = obj["metadata"]
        if not meta.get("deletionTimestamp") or meta.get("finalizers") or meta.get("deletionGracePeriodSeconds"):
            return False
        final = self._store.remove(resource.collection, meta.get("namespace", ""), meta["name"])
        self._writer.removed(resource, final or obj)
        return True


def check_preconditions(call: Call, obj: Obj, options: Obj) -> None:
    """uid and resourceVersion of DeleteOptions; raises 409."""
    wanted = options.get("preconditions") or {}
    meta = obj["metadata"]
    pairs = (("uid", "UID", meta["uid"]), ("resourceVersion", "ResourceVersion", meta["resourceVersion"]))
    for key, word, found in pairs:
        if wanted.get(key) and wanted[key] != found:
            why = f"Precondition failed: {word} in precondition: {wanted[key]}, {word} in object meta: {found}"
            raise errors.conflict(call.resource.group, call.resource.plural, call.name, why)


def _finalizers(obj: Obj, options: Obj) -> list[str]:
    policy = options.get("propagationPolicy")
    if policy is None and options.get("orphanDependents") is not None:
        policy = "Orphan" if options["orphanDependents"] else "Background"
    kept = list(obj["metadata"].get("finalizers") or ())
    if policy in ("Background", "Orphan"):
        kept = [name for name in kept if name != FOREGROUND]
    if policy in ("Background", "Foreground"):
        kept = [name for name in kept if name != ORPHAN]
    wanted = {"Foreground": FOREGROUND, "Orphan": ORPHAN}.get(policy or "")
    return [*kept, wanted] if wanted and wanted not in kept else kept


def _grace(resource: Resource, obj: Obj, options: Obj) -> int:
    """Seconds that a pod has to end; 0 for everything else, and for pods that no kubelet holds."""
    if resource.collection != ("", "pods"):
        return 0
    spec, status = obj.get("spec", {}), obj.get("status", {})
    if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return 0
    grace = options.get("gracePeriodSeconds")
    if grace is None:
        already = obj["metadata"].get("deletionGracePeriodSeconds")
        grace = already if already is not None else spec.get("terminationGracePeriodSeconds", 30)
    return min(max(int(grace), 0), LONGEST_GRACE_S)


def _namespace_finalizers(resource: Resource, obj: Obj) -> list[str]:
    if resource.collection != ("", "namespaces"):
        return []
    return list(obj.get("spec", {}).get("finalizers") or ())


def _success(resource: Resource, obj: Obj) -> Obj:
    details = {"name": obj["metadata"]["name"], "kind": resource.plural, "uid": obj["metadata"]["uid"]}
    if resource.group:
        details["group"] = resource.group
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
