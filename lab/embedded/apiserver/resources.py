"""What the server serves: one `Resource` per group version and plural, and the registry that finds them.

Pure look-up; behaviour of kinds is in `strategies.py`, their fields in `builtin.py` and `crd.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from lab.embedded.apiserver.errors import qualified
from lab.embedded.apiserver.history import Collection
from lab.embedded.apiserver.schema import Schema

Obj = dict[str, Any]
ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class Column:
    """A printer column. `cell` gives a JSON scalar or None; priority above 0 is shown with `-o wide` only."""

    name: str
    cell: Callable[[Obj], Any]
    type: str = "string"
    priority: int = 0
    description: str = ""
    format: str = ""


@dataclass(frozen=True)
class Subresource:
    """A discovery entry below a resource: `status`, `exec`, ..."""

    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""


@dataclass(eq=False)
class Resource:
    """One resource of one group version.

    `collection` is shared by all versions of a resource; `schema` gives the structural schema of the whole object;
    `create_only` marks reviews, which are answered and never stored.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    schema: Callable[[], Schema]
    singular: str = ""
    list_kind: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[Subresource, ...] = ()
    columns: tuple[Column, ...] = ()
    builtin: bool = True
    status: bool = False
    generation: bool = False
    create_only: bool = False
    storage_version: str = ""
    warning: str = ""
    selectable: set[str] = field(default_factory=set)
    definition: str = ""  # model name of a built-in kind, for OpenAPI
    shared: Collection | None = None  # kept in the collection of another group (events.k8s.io)
    outward: Callable[[Obj], Obj] | None = None  # stored form to this version's, and back
    inward: Callable[[Obj], Obj] | None = None

    def __post_init__(self) -> None:
        self.singular = self.singular or self.kind.lower()
        self.list_kind = self.list_kind or f"{self.kind}List"
        self.storage_version = self.storage_version or self.version

    @property
    def collection(self) -> Collection:
        return self.shared or (self.group, self.plural)

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def storage_api_version(self) -> str:
        return f"{self.group}/{self.storage_version}" if self.group else self.storage_version

    def present(self, obj: Obj) -> Obj:
        """A stored object as this version shows it; shares everything that is the same."""
        if self.outward is not None:
            return self.outward(obj)
        return obj if obj.get("apiVersion") == self.api_version else {**obj, "apiVersion": self.api_version}

    @property
    def qualified(self) -> str:
        return qualified(self.plural, self.group)

    def has(self, subresource: str) -> bool:
        return any(known.name == subresource for known in self.subresources)


class Registry:
    """Resources by group version and plural, groups in the order in which discovery lists them."""

    def __init__(self) -> None:
        self._groups: dict[str, dict[str, dict[str, Resource]]] = {}
        self._collections: dict[Collection, Resource] = {}
        self.generation = 0  # rises with every change; caches of discovery and OpenAPI look at it

    def add(self, resource: Resource) -> None:
        """Add or replace."""
        self._groups.setdefault(resource.group, {}).setdefault(resource.version, {})[resource.plural] = resource
        if resource.shared is None and (
            resource.version == resource.storage_version or resource.collection not in self._collections
        ):
            self._collections[resource.collection] = resource
        self.generation += 1

    def remove(self, collection: Collection) -> None:
        """Drop every version of a resource, and versions and groups that are then empty."""
        group, plural = collection
        versions = self._groups.get(group, {})
        for version in list(versions):
            versions[version].pop(plural, None)
            if not versions[version]:
                del versions[version]
        if not versions:
            self._groups.pop(group, None)
        self._collections.pop(collection, None)
        self.generation += 1

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        return self._groups.get(group, {}).get(version, {}).get(plural)

    def storage(self, collection: Collection) -> Resource | None:
        """The resource in its storage version."""
        return self._collections.get(collection)

    def versions_of(self, collection: Collection) -> list[Resource]:
        """The same resource in every served version."""
        group, plural = collection
        return [v[plural] for v in self._groups.get(group, {}).values() if plural in v]

    def by_kind(self, api_version: str, kind: str) -> Resource | None:
        """Find by an object's apiVersion and kind."""
        group, _, version = api_version.rpartition("/")
        for resource in self._groups.get(group, {}).get(version, {}).values():
            if resource.kind == kind:
                return resource
        return None

    def groups(self) -> Iterable[str]:
        """Named groups (the core group is not among them)."""
        return [group for group in self._groups if group]

    def versions(self, group: str) -> list[str]:
        """Versions of a group, the preferred one first."""
        return sorted(self._groups.get(group, {}), key=version_priority, reverse=True)

    def resources(self, group: str, version: str) -> list[Resource]:
        return sorted(self._groups.get(group, {}).get(version, {}).values(), key=lambda resource: resource.plural)

    def everything(self) -> Iterable[Resource]:
        """Each resource once, in its storage version."""
        return list(self._collections.values())


def version_priority(version: str) -> tuple[int, int, int]:
    """Sort key of `v1`, `v1beta2`, `v1alpha1`: stable before beta before alpha, higher numbers first."""
    import re

    match = re.fullmatch(r"v(\d+)(?:(alpha|beta)(\d+))?", version)
    if match is None:
        return (-1, 0, 0)
    stage = {None: 2, "beta": 1, "alpha": 0}[match[2]]
    return (stage, int(match[1]), int(match[3] or 0))
