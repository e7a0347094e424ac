"""May these credentials do what a run does? Asked of the cluster itself, right by right (SelfSubjectAccessReview).

What a run needs is said once, in `deploy/rbac.yaml`, which is also what a cluster's owner grants.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.access.client import Client
from lab.access.kinds import ACCESS_REVIEW
from lab.survey.findings import Finding, bad, good, unknown

ROLES = Path(__file__).resolve().parents[2] / "deploy" / "rbac.yaml"
AT_ONCE = 8
SHOWN = 12
SUBJECT = "rights"


@dataclass(frozen=True, order=True)
class Right:
    """One question; `namespace` "" means in every one."""

    group: str
    resource: str
    verb: str
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        what = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {what}" + (f" in {self.namespace}" if self.namespace else "")


def rights(text: str) -> list[Right]:
    """Every right that the roles of a manifest grant."""
    found: set[Right] = set()
    for document in yaml.safe_load_all(text):
        if isinstance(document, dict) and document.get("kind") in ("ClusterRole", "Role"):
            namespace = str(document["metadata"].get("namespace") or "") if document["kind"] == "Role" else ""
            found |= {right for rule in document.get("rules") or [] for right in _of(rule, namespace)}
    return sorted(found)


def _of(rule: dict[str, Any], namespace: str) -> Iterator[Right]:
    for group in rule.get("apiGroups") or []:
        for resource in rule.get("resources") or []:
            for verb in rule.get("verbs") or []:
                for name in rule.get("resourceNames") or [""]:
                    yield Right(str(group), str(resource), str(verb), namespace, str(name))


def check(client: Client) -> list[Finding]:
    """One finding when all is granted, else one for each right that is missing. Raises ApiDown, AccessDenied."""
    try:
        wanted = rights(ROLES.read_text())
    except OSError as error:
        return [unknown(SUBJECT, f"{ROLES}: {error.strerror}", "run from a checkout: deploy/rbac.yaml is part of it")]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda right: _may(client, right), wanted))
    missing = [right for right, may in zip(wanted, answers, strict=True) if not may]
    if not missing:
        return [good(SUBJECT, f"all {len(wanted)} of deploy/rbac.yaml are granted")]
    remedy = "kubectl apply -f deploy/rbac.yaml, and bind it to this kubeconfig's user"
    found = [bad(SUBJECT, f"may not {right}", remedy) for right in missing[:SHOWN]]
    more = len(missing) - SHOWN
    return [*found, bad(SUBJECT, f"and {more} more of {len(wanted)}", remedy)] if more > 0 else found


def _may(client: Client, right: Right) -> bool:
    resource, _, subresource = right.resource.partition("/")
    attributes = {
        "group": right.group,
        "resource": resource,
        "subresource": subresource,
        "verb": right.verb,
        "namespace": right.namespace,
        "name": right.name,
    }
    given = {key: value for key, value in attributes.items() if value}
    body = {
        "apiVersion": ACCESS_REVIEW.api_version,
        "kind": ACCESS_REVIEW.kind,
        "metadata": {},
        "spec": {"resourceAttributes": given},
    }
    answer = client.create(body)
    return bool((answer.get("status") or {}).get("allowed"))
