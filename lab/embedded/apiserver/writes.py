"""Create, update and patch: from request to stored object, in upstream's order.

decode - defaults - mutating admission - schema validation - validating admission - store. Nothing is stored before the
last step, and between reading the old state and storing the new one the old state is compared again, because
admission takes time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from lab.embedded.apiserver import errors, fields, incoming, managed, objects, patching
from lab.embedded.apiserver.history import Collection
from lab.embedded.apiserver.managed import Manager
from lab.embedded.apiserver.requests import Call, expect_object
from lab.embedded.apiserver.resources import Registry, Resource
from lab.embedded.apiserver.schema import clone
from lab.embedded.apiserver.store import Store, now
from lab.embedded.apiserver.strategies import Strategy

Obj = dict[str, Any]
Make = Callable[[Obj], Obj]
ATTEMPTS = 8


class Admission(Protocol):
    """Dispatch to webhooks; both raise StatusError for a denial."""

    async def mutate(self, call: Call, operation: str, obj: Obj | None, old: Obj | None) -> Obj | None: ...

    async def validate(self, call: Call, operation: str, obj: Obj | None, old: Obj | None) -> None: ...


class Writer:
    """The write half of the API, shared by HTTP handlers and the server's own loops."""

    def __init__(
        self, store: Store, registry: Registry, admission: Admission, strategies: dict[Collection, Strategy]
    ) -> None:
        self.store = store
        self.registry = registry
        self.admission = admission
        self._strategies = strategies
        self._plain = Strategy()
        self.removed: Callable[[Resource, Obj], None] = lambda _resource, _obj: None

    def strategy(self, resource: Resource) -> Strategy:
        return self._strategies.get(resource.collection, self._plain)

    def exists(self, call: Call) -> bool:
        """Whether the object of a call is there."""
        return self.store.get(call.resource.collection, call.namespace, call.name) is not None

    def find(self, call: Call) -> Obj:
        """The stored object of a call; raises 404."""
        found = self.store.get(call.resource.collection, call.namespace, call.name)
        if found is None:
            raise errors.not_found(call.resource.group, call.resource.plural, call.name)
        return found

    async def create(self, call: Call, obj: Obj) -> Obj:
        """Create from a decoded body; returns the stored object (or, in a dry run, what would have been stored)."""
        resource = call.resource
        self._check_namespace(call, obj)
        if obj["metadata"].get("resourceVersion"):
            raise errors.bad_request("resourceVersion should not be set on objects to be created")
        incoming.shape(call, obj)
        return await self._create(call, obj, None if resource.create_only else _manager(call, "Update"))

    async def _create(self, call: Call, obj: Obj, manager: Manager | None) -> Obj:
        resource, strategy = call.resource, self.strategy(call.resource)
        call.warn(resource.warning)
        self._live_namespace(call)
        obj = resource.inward(obj) if resource.inward else {**obj, "apiVersion": resource.storage_api_version}
        objects.begin(resource, obj)
        call.name = obj["metadata"].get("name", "")
        if resource.status and not manager_is_apply(manager):
            obj.pop("status", None)
        strategy.prepare(obj, None)
        strategy.created(obj)
        obj = await self.admission.mutate(call, "CREATE", obj, None) or obj
        stored_as = self.registry.storage(resource.collection) or resource
        if not resource.builtin:
            incoming.shape(Call(call.user, resource, validation="Ignore"), obj)
        incoming.check(stored_as, obj, lambda: strategy.check(obj, None))
        await self.admission.validate(call, "CREATE", obj, None)
        if manager is not None:
            managed.after_update(None, obj, stored_as.schema(), manager)
        self._live_namespace(call)
        if self.store.get(resource.collection, obj["metadata"].get("namespace", ""), obj["metadata"]["name"]):
            raise errors.already_exists(resource.group, resource.plural, obj["metadata"]["name"])
        if call.dry_run:
            return obj
        return self.store.put(resource.collection, obj)

    async def update(self, call: Call, obj: Obj) -> Obj:
        """Replace from a decoded body."""
        resource = call.resource
        self._check_namespace(call, obj)
        name = obj["metadata"].get("name")
        if name != call.name:
            raise errors.bad_request(
                f"the name of the object ({name or ''}) does not match the name on the URL ({call.name})"
            )
        incoming.shape(call, obj)
        if resource.inward:
            obj = resource.inward(obj)
        version = obj["metadata"].get("resourceVersion")
        if not version and not resource.builtin and not call.subresource:
            cause = errors.Cause(
                "FieldValueInvalid", "Invalid value: 0x0: must be specified for an update", "metadata.resourceVersion"
            )
            raise errors.invalid(resource.group, resource.plural, call.name, [cause])
        return await self._change(call, lambda _old: clone(obj), _manager(call, "Update"), version)

    async def patch(self, call: Call, kind: str, body: Any) -> tuple[Obj, bool]:
        """Patch with `json`, `merge`, `strategic` or `apply`; (object, whether it was created)."""
        resource = call.resource
        if kind == "apply":
            return await self._apply(call, body)
        if kind == "strategic" and not resource.builtin:
            raise errors.unsupported_media(
                ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"]
            )
        asked: dict[str, str] = {}

        def make(old: Obj) -> Obj:
            shown = resource.present(old)
            if kind == "json":
                new = patching.json_patch(shown, body)
            elif kind == "merge":
                new = patching.merge_patch(shown, clone(body))
            else:
                new = patching.strategic_patch(shown, body, resource.schema())
            new = expect_object(clone(new), resource)
            asked["version"] = new["metadata"].get("resourceVersion") or ""
            incoming.shape(call, new, patched=True)
            return resource.inward(new) if resource.inward else new

        if kind in ("merge", "strategic") and not isinstance(body, dict):
            raise errors.bad_request(
                "error decoding patch: json: cannot unmarshal into Go value of type map[string]interface {}"
            )
        return await self._change(call, make, _manager(call, "Update"), None, asked), False

    async def _apply(self, call: Call, body: Any) -> tuple[Obj, bool]:
        resource = call.resource
        applied = self._read_applied(call, body)
        manager = _manager(call, "Apply")
        schema = resource.schema()
        if self.store.get(resource.collection, call.namespace, call.name) is None:
            return await self._apply_new(call, applied, manager), True
        if call.subresource == "status":
            applied = {k: v for k, v in applied.items() if k in ("apiVersion", "kind", "metadata", "status")}
            applied["metadata"] = {"name": call.name}
        elif resource.status:
            applied.pop("status", None)

        def make(old: Obj) -> Obj:
            merged = managed.apply(resource.present(old), applied, schema, manager, force=call.force)
            incoming.shape(Call(call.user, resource, validation="Ignore"), merged)
            return merged

        asked = {"version": applied["metadata"].pop("resourceVersion", "")}
        return await self._change(call, make, None, None, asked), False

    def _read_applied(self, call: Call, body: Any) -> Obj:
        """The applied configuration, checked; it gets no defaults, since its fields are what the applier owns."""
        applied = expect_object(body, call.resource)
        self._check_namespace(call, applied)
        if applied["metadata"].setdefault("name", call.name) != call.name:
            why = f'metadata.name: Invalid value: "{applied["metadata"]["name"]}": must match the name on the URL'
            raise errors.bad_request(why)
        if applied["metadata"].get("managedFields"):
            raise errors.bad_request("metadata.managedFields must be nil")
        if call.manager in ("", "unknown"):
            text = "fieldManager: Required value: is required for apply patch"
            raise errors.StatusError(422, "Invalid", f'PatchOptions.meta.k8s.io "" is invalid: {text}')
        try:
            incoming.shape(Call(call.user, call.resource, validation="Strict"), applied, defaults=False)
        except errors.StatusError as refusal:
            if "unknown field" not in refusal.message:
                raise
            raise _undeclared(call, refusal.message) from refusal
        return applied

    async def _apply_new(self, call: Call, applied: Obj, manager: Manager) -> Obj:
        resource = call.resource
        if call.subresource:
            raise errors.not_found(resource.group, resource.plural, call.name)
        if applied["metadata"].get("uid"):
            why = "uid mismatch: the object does not exist"
            raise errors.conflict(resource.group, resource.plural, call.name, why)
        if resource.status:
            applied.pop("status", None)
        manager.paths = set(fields.fields_of(applied, resource.schema()))
        managed.write(applied, [manager])
        made = clone(applied)
        incoming.shape(Call(call.user, resource, validation="Ignore"), made)
        return await self._create(call, made, None)

    async def _change(
        self, call: Call, make: Make, manager: Manager | None, version: str | None, asked: dict[str, str] | None = None
    ) -> Obj:
        """Read, make, admit, compare, store. Tries again when another write came in between, unless the caller
        named the version that it started from: that is a Conflict."""
        resource = call.resource
        call.warn(resource.warning)
        for _attempt in range(ATTEMPTS):
            old = self.find(call)
            new = make(old)
            wanted = version or (asked or {}).get("version")
            if wanted and wanted != old["metadata"]["resourceVersion"]:
                raise errors.conflict(resource.group, resource.plural, call.name)
            uid = new["metadata"].get("uid")
            if uid and uid != old["metadata"]["uid"]:
                why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old['metadata']['uid']}"
                raise errors.conflict(resource.group, resource.plural, call.name, why)
            new = await self._admitted(call, new, old)
            if self.store.get(resource.collection, call.namespace, call.name) is not old:
                continue
            return self._store_update(call, new, old, manager)
        raise errors.conflict(resource.group, resource.plural, call.name)

    async def _admitted(self, call: Call, new: Obj, old: Obj) -> Obj:
        resource, strategy = call.resource, self.strategy(call.resource)
        stored_as = self.registry.storage(resource.collection) or resource
        new = {**new, "apiVersion": resource.storage_api_version} if not resource.inward else new
        new = _scoped(call, new, old)
        objects.carry_over(new, old)
        strategy.prepare(new, old)
        new = await self.admission.mutate(call, "UPDATE", new, old) or new
        if not resource.builtin:
            incoming.shape(Call(call.user, stored_as, validation="Ignore"), new)
        objects.carry_over(new, old)
        if resource.generation and objects.spec_changed(resource, new, old):
            new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        incoming.check(stored_as, new, lambda: strategy.check(new, old))
        await self.admission.validate(call, "UPDATE", new, old)
        return new

    def _store_update(self, call: Call, new: Obj, old: Obj, manager: Manager | None) -> Obj:
        resource = call.resource
        stored_as = self.registry.storage(resource.collection) or resource
        unchanged = objects.same_but_managed(new, old)
        if manager is not None:
            if unchanged and "managedFields" in new["metadata"]:
                return old
            managed.after_update(old, new, stored_as.schema(), manager)
        if unchanged and new["metadata"].get("managedFields") == old["metadata"].get("managedFields"):
            return old
        if call.dry_run:
            return new
        meta = new["metadata"]
        if meta.get("deletionTimestamp") and not meta.get("finalizers") and _may_vanish(resource, new):
            final = self.store.remove(resource.collection, call.namespace, call.name)
            self.removed(resource, final or new)
            return new
        return self.store.put(resource.collection, new)

    def _check_namespace(self, call: Call, obj: Obj) -> None:
        if not call.resource.namespaced:
            obj["metadata"].pop("namespace", None)
            return
        given = obj["metadata"].setdefault("namespace", call.namespace)
        if given in (None, ""):
            obj["metadata"]["namespace"] = call.namespace
        elif given != call.namespace:
            raise errors.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )

    def _live_namespace(self, call: Call) -> None:
        if not call.resource.namespaced or call.resource.create_only:
            return
        namespace = self.store.get(("", "namespaces"), "", call.namespace)
        if namespace is None:
            raise errors.not_found("", "namespaces", call.namespace)
        if namespace["metadata"].get("deletionTimestamp"):
            why = f"unable to create new content in namespace {call.namespace} because it is being terminated"
            refusal = errors.forbidden(call.resource.group, call.resource.plural, call.name, why)
            text = f"namespace {call.namespace} is being terminated"
            cause = {"reason": "NamespaceTerminating", "message": text, "field": "metadata.namespace"}
            refusal.details["causes"] = [cause]
            raise refusal


def manager_is_apply(manager: Manager | None) -> bool:
    return manager is not None and manager.operation == "Apply"


def _manager(call: Call, operation: str) -> Manager:
    return Manager(call.manager, operation, call.resource.api_version, call.subresource, now(), set())


def _undeclared(call: Call, message: str) -> errors.StatusError:
    import re

    paths = re.findall(r'unknown field "([^"]+)"', message)
    kind = f"{call.resource.api_version}, Kind={call.resource.kind}"
    where = f"{call.namespace}/{call.name}" if call.namespace else f"/{call.name}"
    lines = "\n".join(f".{path}: field not declared in schema" for path in paths)
    text = f"failed to create typed patch object ({where}; {kind}): "
    text += lines if len(paths) == 1 else f"errors:\n{lines}"
    return errors.StatusError(500, "", text)


def _scoped(call: Call, new: Obj, old: Obj) -> Obj:
    """What this endpoint may change: status alone, or everything but status."""
    resource = call.resource
    if call.subresource == "status":
        scoped = {**clone(old), "status": new.get("status")}
        if scoped["status"] is None:
            del scoped["status"]
        if resource.builtin:
            for key in ("labels", "annotations", "finalizers"):
                if key in new["metadata"]:
                    scoped["metadata"][key] = new["metadata"][key]
        if "managedFields" in new["metadata"]:
            scoped["metadata"]["managedFields"] = new["metadata"]["managedFields"]
        return scoped
    if resource.status:
        new = {key: value for key, value in new.items() if key != "status"}
        if "status" in old:
            new["status"] = clone(old["status"])
    return new


def _may_vanish(resource: Resource, obj: Obj) -> bool:
    if resource.collection == ("", "namespaces"):
        return False
    return not (obj["metadata"].get("deletionGracePeriodSeconds") or 0)
