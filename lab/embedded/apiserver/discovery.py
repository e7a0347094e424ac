"""Discovery documents: /api, /apis, group versions, in the legacy and the aggregated form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.embedded.apiserver.resources import Registry, Resource

Obj = dict[str, Any]
AGGREGATED = {
    "v2": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
    "v2beta1": "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
}


def wants_aggregated(accept: str) -> str:
    """`v2`, `v2beta1` or empty, by the first acceptable type that the client names."""
    for entry in accept.split(","):
        words = {word.strip() for word in entry.split(";")}
        if "as=APIGroupDiscoveryList" in words and "g=apidiscovery.k8s.io" in words:
            for version in AGGREGATED:
                if f"v={version}" in words:
                    return version
    return ""


def api_versions(server: str) -> Obj:
    """/api"""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server}],
    }


def group_of(registry: Registry, group: str, extra: list[str] | None = None) -> Obj:
    """APIGroup of a group; `extra` are versions served by a backend."""
    versions = [*registry.versions(group), *(extra or [])]
    entries = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
    return {"kind": "APIGroup", "apiVersion": "v1", "name": group, "versions": entries, "preferredVersion": entries[0]}


def group_list(registry: Registry, remote: Mapping[str, list[str]]) -> Obj:
    """/apis; `remote` are the versions of groups served by backends."""
    groups = []
    for group in [*registry.groups(), *(name for name in remote if name not in registry.groups())]:
        extra = [version for version in remote.get(group, ()) if version not in registry.versions(group)]
        entry = group_of(registry, group, extra)
        groups.append({key: entry[key] for key in ("name", "versions", "preferredVersion")})
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def resource_list(registry: Registry, group: str, version: str) -> Obj:
    """APIResourceList of a group version."""
    entries: list[Obj] = []
    for resource in registry.resources(group, version):
        entry: Obj = {
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": list(resource.verbs),
        }
        if resource.short_names:
            entry["shortNames"] = list(resource.short_names)
        if resource.categories:
            entry["categories"] = list(resource.categories)
        entries.append(entry)
        for sub in resource.subresources:
            below: Obj = {
                "name": f"{resource.plural}/{sub.name}",
                "singularName": "",
                "namespaced": resource.namespaced,
                "kind": sub.kind,
                "verbs": list(sub.verbs),
            }
            if sub.group:
                below["group"], below["version"] = sub.group, sub.version
            entries.append(below)
    entries.sort(key=lambda entry: str(entry["name"]))
    name = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": entries}


def _aggregated_resource(resource: Resource) -> Obj:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    entry: Obj = {
        "resource": resource.plural,
        "responseKind": kind,
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.subresources:
        entry["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": {
                    "group": sub.group or resource.group,
                    "version": sub.version or resource.version,
                    "kind": sub.kind,
                },
                "verbs": list(sub.verbs),
            }
            for sub in resource.subresources
        ]
    return entry


def _version_entry(registry: Registry, group: str, version: str) -> Obj:
    resources = [_aggregated_resource(resource) for resource in registry.resources(group, version)]
    return {"version": version, "resources": resources, "freshness": "Current"}


def aggregated(registry: Registry, core: bool, remote: Mapping[tuple[str, str], Obj | None], version: str) -> Obj:
    """APIGroupDiscoveryList of /api or /apis; `remote` are backends' legacy lists (None: it does not answer)."""
    groups: dict[str, list[Obj]] = {}
    if core:
        groups[""] = [_version_entry(registry, "", "v1")]
    else:
        for group in registry.groups():
            groups[group] = [_version_entry(registry, group, v) for v in registry.versions(group)]
        for (group, remote_version), listed in remote.items():
            entry: Obj = {"version": remote_version, "freshness": "Stale" if listed is None else "Current"}
            entry["resources"] = _from_legacy(listed or {}, group, remote_version)
            groups.setdefault(group, []).append(entry)
    items = []
    for group, versions in groups.items():
        meta: Obj = {"creationTimestamp": None}
        if group:
            meta["name"] = group
        items.append({"metadata": meta, "versions": versions})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": items,
    }


def _from_legacy(listed: Obj, group: str, version: str) -> list[Obj]:
    found: dict[str, Obj] = {}
    for entry in sorted(listed.get("resources") or (), key=lambda e: e["name"].count("/")):
        name, _, sub = entry["name"].partition("/")
        kind = {
            "group": entry.get("group") or group,
            "version": entry.get("version") or version,
            "kind": entry.get("kind", ""),
        }
        verbs = entry.get("verbs") or []
        parent = found.setdefault(
            name,
            {
                "resource": name,
                "responseKind": {"group": group, "version": version, "kind": ""},
                "scope": "Namespaced" if entry.get("namespaced") else "Cluster",
                "singularResource": entry.get("singularName", ""),
                "verbs": [],
            },
        )
        if sub:
            parent.setdefault("subresources", []).append({"subresource": sub, "responseKind": kind, "verbs": verbs})
        else:
            parent["responseKind"], parent["verbs"] = kind, verbs
    return list(found.values())
