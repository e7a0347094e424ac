"""What the operators put into a fresh cluster: namespaces, their custom resources, the KubeVirt CR, registrations.

Everything here is "make it so" and may be run again.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from pathlib import Path

from lab.embedded.kube import Kube, KubeError
from lab.embedded.model.kinds import APISERVICE, CRD, KUBEVIRT, MIGRATION_POLICY, NAMESPACE, Kind
from lab.embedded.operators import names
from lab.embedded.operators.admission.handlers import Hook
from lab.embedded.operators.objects import (
    Obj,
    now,
)
from lab.embedded.operators.virtapi.app import GROUP, VERSIONS
from lab.embedded.operators.webhooks import configurations, register

NAMESPACES = (names.SYSTEM_NAMESPACE, "nmstate", "ovn-kubernetes")
PRIVILEGED = {"pod-security.kubernetes.io/enforce": "privileged"}
"""As KubeVirt's manifest labels its namespace; the pods of all three act on nodes."""
SHORT_NAMES = {KUBEVIRT: ["kv", "kvs"], MIGRATION_POLICY: []}
DEFAULT_CONFIGURATION: Obj = {
    "developerConfiguration": {"useEmulation": True},
    "evictionStrategy": "LiveMigrate",
}


async def create_if_absent(kube: Kube, kind: Kind, obj: Obj) -> Obj | None:
    """The created object, None when it was there."""
    try:
        return await kube.create(kind, obj)
    except KubeError as error:
        if error.already_exists:
            return None
        raise


async def install_crds(kube: Kube) -> None:
    """The two resources that only the operators read."""
    await asyncio.gather(*(create_if_absent(kube, CRD, crd(kind)) for kind in (KUBEVIRT, MIGRATION_POLICY)))


def crd(kind: Kind) -> Obj:
    """A definition that takes any spec and status: their fields are upstream's, few of them are read here."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": anything, "status": anything}}
    version: Obj = {
        "name": kind.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    if kind is KUBEVIRT:
        version["additionalPrinterColumns"] = [
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
            {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
        ]
    plural = {"plural": kind.plural, "singular": kind.kind.lower(), "kind": kind.kind, "listKind": f"{kind.kind}List"}
    short = SHORT_NAMES[kind]
    return {
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "names": {**plural, **({"shortNames": short} if short else {})},
            "versions": [version],
        },
    }


async def install(kube: Kube, version: str) -> None:
    """Namespaces and the KubeVirt CR, reported Deployed."""
    made = [{"metadata": {"name": namespace, "labels": PRIVILEGED}} for namespace in NAMESPACES]
    await asyncio.gather(*(create_if_absent(kube, NAMESPACE, body) for body in made))
    meta = {"name": "kubevirt", "namespace": names.SYSTEM_NAMESPACE}
    cr = {"metadata": meta, "spec": {"configuration": DEFAULT_CONFIGURATION, "imagePullPolicy": "IfNotPresent"}}
    await create_if_absent(kube, KUBEVIRT, cr)
    conditions = [
        {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": now()}
        for kind, status, reason, message in (
            ("Available", "True", "AllComponentsReady", "All components are ready."),
            ("Progressing", "False", "AllComponentsReady", "All components are ready."),
            ("Degraded", "False", "AllComponentsReady", "All components are ready."),
            ("Created", "True", "AllResourcesCreated", "All resources were created."),
        )
    ]
    status = {
        "phase": "Deployed",
        "observedKubeVirtVersion": version,
        "targetKubeVirtVersion": version,
        "operatorVersion": version,
        "observedKubeVirtRegistry": "quay.io/kubevirt",
        "conditions": conditions,
    }
    await kube.patch(KUBEVIRT, "kubevirt", names.SYSTEM_NAMESPACE, {"status": status}, subresource="status")


async def register_all(kube: Kube, hooks: Sequence[Hook], webhook_url: str, virtapi_url: str, ca: Path) -> None:
    """Webhook configurations and APIServices; call it when both servers listen."""
    objects = configurations(hooks, webhook_url, ca) + [
        (APISERVICE, api_service(version, virtapi_url, ca)) for version in VERSIONS
    ]
    await asyncio.gather(*(register(kube, kind, obj) for kind, obj in objects))


def api_service(version: str, url: str, ca: Path) -> Obj:
    """The annotation tells this lab's API server where the backend is; the Service is what upstream names."""
    return {
        "metadata": {"name": f"{version}.{GROUP}", "annotations": {"virtlab.dev/url": url}},
        "spec": {
            "group": GROUP,
            "version": version,
            "groupPriorityMinimum": 1000,
            "versionPriority": 15,
            "caBundle": base64.b64encode(ca.read_bytes()).decode(),
            "service": {"namespace": names.SYSTEM_NAMESPACE, "name": "virt-api", "port": 443},
        },
    }
