"""The files that `kind up` generates: kind's configuration, mirrors of registries, what is applied besides manifests.

Pure: from what was asked for and the versions to text. Field names as upstream spells them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import yaml

from lab.kind.versions import Part

CERTS = "/etc/containerd/certs.d"
OWNER = "/etc/virtlab-owner"
"""Where a node has the file that says which `kind up` made it."""
REGISTRIES = {"docker.io": "registry-1.docker.io"}
"""Registries whose server has another name than their images."""


def cluster(name: str, workers: int, image: str, owner: str, mirrors: str = "") -> str:
    """kind's own configuration: no CNI and no kube-proxy, since OVN-Kubernetes is both.

    `owner` and `mirrors` are a file and a folder of this host that the nodes mount; no `mirrors`: none."""
    mounts: list[dict[str, Any]] = [{"hostPath": owner, "containerPath": OWNER, "readOnly": True}]
    if mirrors:
        mounts.append({"hostPath": mirrors, "containerPath": CERTS, "readOnly": True})
    roles = ["control-plane", *["worker"] * workers]
    config = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "name": name,
        # The pod network that the chart's values have, too.
        "networking": {
            "disableDefaultCNI": True,
            "kubeProxyMode": "none",
            "ipFamily": "ipv4",
            "podSubnet": "10.244.0.0/16",
            "serviceSubnet": "10.96.0.0/16",
        },
        "nodes": [{"role": role, "image": image, "extraMounts": mounts} for role in roles],
    }
    return _yaml(config)


def mirror(registry: str, target: str) -> str:
    """containerd's ``hosts.toml`` for a registry: *target* is asked first, as HOST[:PORT][/PATH] or with http://."""
    url = target if "://" in target else f"https://{target}"
    parts = urlsplit(url)
    server = f"https://{REGISTRIES.get(registry, registry)}"
    root = f"{parts.scheme}://{parts.netloc}/v2{parts.path.rstrip('/')}"
    return f'server = "{server}"\n\n[host."{root}"]\n  capabilities = ["pull", "resolve"]\n  override_path = true\n'


def mirrored(image: str, mirrors: Mapping[str, str]) -> str:
    """The name by which the container engine gets an image."""
    registry, _, rest = image.partition("/")
    target = mirrors.get(registry, "")
    return f"{target.partition('://')[2] or target}/{rest}" if target else image


def ovn_values(image: str) -> str:
    """What differs from the chart's own values for one zone per node."""
    repository, _, tag = image.rpartition(":")
    # Localnet attachments are a feature that is off by default; IPAMClaims are asked for with it.
    shared = {"image": {"repository": repository, "tag": tag}, "enableMultiNetwork": True, "enablePersistentIPs": True}
    return _yaml({"global": shared})


def multus(part: Part) -> str:
    """A kustomization: upstream's manifest with a pinned image, and memory for more than a handful of pods."""
    name, _, tag = part.images[0].rpartition(":")
    limits = {"requests": {"memory": "100Mi"}, "limits": {"memory": "300Mi"}}
    patch = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "kube-multus-ds", "namespace": "kube-system"},
        "spec": {"template": {"spec": {"containers": [{"name": "kube-multus", "resources": limits}]}}},
    }
    return _yaml(
        {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": list(part.manifests),
            "images": [{"name": name, "newTag": tag}],
            "patches": [{"patch": _yaml(patch)}],
        }
    )


def nmstate() -> str:
    """The object on which the operator of kubernetes-nmstate acts."""
    return _yaml({"apiVersion": "nmstate.io/v1", "kind": "NMState", "metadata": {"name": "nmstate"}})


def kubevirt() -> str:
    """The object on which KubeVirt's operator acts. Emulation is its fallback: KVM is used where there is any."""
    return _yaml(
        {
            "apiVersion": "kubevirt.io/v1",
            "kind": "KubeVirt",
            "metadata": {"name": "kubevirt", "namespace": "kubevirt"},
            "spec": {
                "configuration": {
                    "developerConfiguration": {"useEmulation": True},
                    "evictionStrategy": "LiveMigrate",
                },
                "workloadUpdateStrategy": {"workloadUpdateMethods": ["LiveMigrate"]},
            },
        }
    )


def _yaml(content: Any) -> str:
    """Without anchors: a person reads it."""
    return yaml.dump(content, Dumper=_Plain, sort_keys=False, default_flow_style=False, width=120)


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


_Plain.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)
