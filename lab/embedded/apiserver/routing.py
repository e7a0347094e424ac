"""From a URL path to what it names. Pure: no request, no store."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from lab.embedded.apiserver.requests import Attributes

NAMESPACE_SUBRESOURCES = ("status", "finalize")


@dataclass(frozen=True)
class Route:
    """A path below /api or /apis. `plural` is empty for a group version's own document."""

    group: str
    version: str
    namespace: str = ""
    plural: str = ""
    name: str = ""
    subresource: str = ""
    rest: tuple[str, ...] = ()

    def attributes(self, method: str, *, watch: bool = False, only: str = "") -> Attributes:
        """What an authorizer is asked; `only` is the one name that a list or watch selects."""
        verbs = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
        verb = verbs.get(method, "get")
        if not self.name and method in ("GET", "HEAD"):
            verb = "watch" if watch else "list"
        if not self.name and method == "DELETE":
            verb = "deletecollection"
        namespace = self.namespace or (self.name if (self.group, self.plural) == ("", "namespaces") else "")
        return Attributes(verb, self.group, self.plural, self.subresource, namespace, self.name or only)


def split(raw_path: str) -> list[str]:
    """Decoded segments of a path, empty ones left out."""
    return [unquote(part) for part in raw_path.partition("?")[0].split("/") if part]


def parse(parts: list[str]) -> Route | None:
    """Route of `["api", "v1", ...]` or `["apis", group, version, ...]`; None for paths that are shorter."""
    if parts[0] == "api" and len(parts) >= 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) >= 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    whole_namespace = group == "" and (len(rest) <= 2 or (len(rest) == 3 and rest[2] in NAMESPACE_SUBRESOURCES))
    if rest and rest[0] == "namespaces" and not whole_namespace and len(rest) >= 3:
        namespace, rest = rest[1], rest[2:]
    padded = [*rest, "", "", ""]
    return Route(group, version, namespace, padded[0], padded[1], padded[2], tuple(rest[3:]))


def named(field_selector: str) -> str:
    """The name that a field selector asks for (apiserver pkg/endpoints/request/requestinfo.go); empty for many."""
    for term in field_selector.split(","):
        key, _, value = term.partition("=")
        if key.strip() == "metadata.name":
            return value.removeprefix("=").strip()
    return ""
