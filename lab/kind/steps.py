"""Which steps make a cluster, in which order, and what each waits for; and which undo it. Data only.

The order is that of needs: OVN-Kubernetes with several networks watches attachments, IPAMClaims and policies for them,
nodes are Ready with it only, and nothing but what uses the host's network runs before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.access.kinds import CRD, KUBEVIRT, NNS, NODE
from lab.kind import cables, files
from lab.kind.cables import Rack
from lab.kind.checks import DAEMONSET, DEPLOYMENT, all_of, conditioned, rolled_out
from lab.kind.versions import FOLDER, Versions
from lab.kind.words import Action, Answer, Command, Step, Wait, Write, engine_exec

BUILD_S, CREATE_S, ROLLOUT_S, KUBEVIRT_S, FETCH_S = 3600.0, 900.0, 900.0, 1200.0, 600.0
MODULES = ("openvswitch", "geneve", "bonding", "8021q", "tun")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
OVN = "ovn-kubernetes"


@dataclass(frozen=True)
class Wanted:
    """What was asked for. `state` is the cluster's own folder; `mirrors` registry -> where its images are instead."""

    name: str
    workers: int
    engine: str
    state: Path
    architecture: str
    versions: Versions
    mirrors: Mapping[str, str] = field(default_factory=dict)
    cabled: bool = True

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def owner(self) -> Path:
        return self.state / "owner"

    @property
    def control(self) -> str:
        return f"{self.name}-control-plane"

    @property
    def worker_names(self) -> tuple[str, ...]:
        """As kind names them."""
        return tuple(f"{self.name}-worker{number if number > 1 else ''}" for number in range(1, self.workers + 1))

    @property
    def image(self) -> str:
        """The name of the node image that is built here; changes with whatever goes into it."""
        tag = self.versions.node.partition("@")[0].rpartition(":")[2]
        return f"localhost/virtlab-kind-node:{tag}-{self.recipe}"

    @property
    def recipe(self) -> str:
        from hashlib import sha256

        digest = sha256(self.versions.node.encode() + self.versions.plugins.encode())
        for path in sorted((FOLDER / "node").iterdir()):
            digest.update(path.read_bytes())
        return digest.hexdigest()[:8]

    @property
    def rack(self) -> Rack:
        return Rack(self.engine, f"{self.name}-switch", self.image, self.name, self.worker_names)

    def kind(self, *argv: str) -> tuple[str, ...]:
        """kind takes Docker for granted where nothing else is said."""
        chosen = () if self.engine == "docker" else ("env", f"KIND_EXPERIMENTAL_PROVIDER={self.engine}")
        return (*chosen, "kind", *argv)

    def kubectl(self, *argv: str) -> tuple[str, ...]:
        return ("kubectl", "--kubeconfig", str(self.kubeconfig), *argv)

    def apply(self, *argv: str) -> Command:
        return Command(self.kubectl("apply", "--server-side", "--force-conflicts", *argv), seconds=FETCH_S)


def up(wanted: Wanted) -> list[Step]:
    """Each is idempotent: a second run does what is still to be done."""
    steps = [_node_image(wanted), _cluster(wanted), _modules(wanted)]
    if wanted.cabled:
        rack = wanted.rack
        what = "a switch with LACP and VLANs beside the nodes, and six NICs for each worker"
        steps.append(Step("cables", what, (*cables.switch(rack), *cables.cables(rack))))
    return [*steps, _labels(wanted), _multus(wanted), _ovn(wanted), _nmstate(wanted), _kubevirt(wanted)]


def down(wanted: Wanted, *, switch: bool) -> list[Step]:
    """What `up` made, the image of the nodes aside; the caller has seen what is there and that it is ours."""
    actions: list[Action] = [
        Command(wanted.kind("delete", "cluster", "--name", wanted.name, "--kubeconfig", str(wanted.kubeconfig)),
                seconds=CREATE_S),
    ]  # fmt: skip
    if switch:
        actions.append(Command((wanted.engine, "rm", "--force", wanted.rack.switch)))
    return [Step("delete", "the nodes and what is beside them", tuple(actions))]


def _node_image(wanted: Wanted) -> Step:
    plugins = wanted.versions.plugins.replace("{arch}", ARCHITECTURES[wanted.architecture])
    build = (
        wanted.engine, "build", "--tag", wanted.image, "--file", str(FOLDER / "node" / "Containerfile"),
        "--build-arg", f"NODE={files.mirrored(wanted.versions.node, wanted.mirrors)}",
        "--build-arg", f"CNI_PLUGINS={plugins}", str(FOLDER / "node"),
    )  # fmt: skip
    there = (wanted.engine, "image", "inspect", wanted.image)
    why = "kind's node with NetworkManager, the CNI plugin bridge and Open vSwitch"
    return Step("node image", why, (Command(build, unless=there, seconds=BUILD_S),))


def _cluster(wanted: Wanted) -> Step:
    folder = wanted.state / "certs.d" if wanted.mirrors else None
    mirrors = [Write(wanted.state / "certs.d" / registry / "hosts.toml", files.mirror(registry, target))
               for registry, target in wanted.mirrors.items()]  # fmt: skip
    config = wanted.state / "kind.yaml"
    text = files.cluster(wanted.name, wanted.workers, wanted.image, str(wanted.owner), str(folder or ""))
    # kind writes the kubeconfig last: without one, whatever nodes there are come from a creation that was cut short.
    made = ("test", "-s", str(wanted.kubeconfig))
    create = wanted.kind("create", "cluster", "--name", wanted.name, "--config", str(config),
                         "--kubeconfig", str(wanted.kubeconfig))  # fmt: skip
    return Step("cluster", f"a control plane and {wanted.workers} workers", (
        Write(wanted.owner, f"The cluster {wanted.name} was made by `virtlab kind up`, which knows it by this file.\n"),
        *mirrors,
        Write(config, text),
        Command(wanted.kind("delete", "cluster", "--name", wanted.name), unless=made, seconds=CREATE_S),
        Command(create, unless=made, seconds=CREATE_S),
    ))  # fmt: skip


def _modules(wanted: Wanted) -> Step:
    load = engine_exec(wanted.engine, wanted.control, "modprobe", "--all", *MODULES)
    return Step("kernel modules", "of the host, for OVN-Kubernetes, bonds, VLANs and guests", (Command(load),))


def _labels(wanted: Wanted) -> Step:
    zones = [Command(wanted.kubectl("label", "node", node, f"k8s.ovn.org/zone-name={node}", "--overwrite"))
             for node in (wanted.control, *wanted.worker_names)]  # fmt: skip
    workers = wanted.kubectl("label", "node", *wanted.worker_names, "node-role.kubernetes.io/worker=", "--overwrite")
    return Step("labels", "a zone of OVN for each node, the role of the workers", (*zones, Command(workers)))


def _multus(wanted: Wanted) -> Step:
    parts, folder = wanted.versions.parts, wanted.state / "multus"
    return Step("multus", "attachments, and the kinds that OVN-Kubernetes watches", (
        *(wanted.apply("-f", url) for name in ("ipamclaims", "multi-networkpolicy") for url in parts[name].manifests),
        Write(folder / "kustomization.yaml", files.multus(parts["multus"])),
        wanted.apply("-k", str(folder)),
        Wait(CRD, "network-attachment-definitions.k8s.cni.cncf.io", "", "established", conditioned("Established"), 60),
    ))  # fmt: skip


def _ovn(wanted: Wanted) -> Step:
    chart = wanted.versions.chart
    clone, values = wanted.state / "ovn-kubernetes", wanted.state / "ovn-values.yaml"
    folder = clone / chart.folder
    there = ("test", "-e", str(folder / "Chart.yaml"))
    address = Answer(
        wanted.kubectl("get", "node", wanted.control, "--output",
                       'jsonpath={.status.addresses[?(@.type=="InternalIP")].address}'),
        before="k8sAPIServer=https://", after=":6443",
    )  # fmt: skip
    nodes = (wanted.control, *wanted.worker_names)
    return Step(OVN, f"the pod network, from its Helm chart at {chart.commit[:12]}", (
        Command(("git", "init", "--quiet", str(clone)), unless=there),
        Command(("git", "-C", str(clone), "fetch", "--quiet", "--depth", "1", chart.repository, chart.commit),
                unless=there, seconds=FETCH_S),
        Command(("git", "-C", str(clone), "checkout", "--quiet", chart.commit, "--", chart.folder), unless=there),
        Write(values, files.ovn_values(wanted.versions.parts[OVN].images[0])),
        Command(("helm", "upgrade", "--install", OVN, str(folder), "--kubeconfig", str(wanted.kubeconfig),
                 "--values", str(folder / "values-single-node-zone.yaml"), "--values", str(values),
                 "--set", address), seconds=FETCH_S),
        Wait(DAEMONSET, "ovnkube-node", OVN, "a zone on every node", rolled_out, ROLLOUT_S, pods=OVN),
        Wait(DEPLOYMENT, "ovnkube-control-plane", OVN, "rolled out", rolled_out, ROLLOUT_S, pods=OVN),
        Wait(NODE, "", "", "every node Ready", all_of(nodes, "Ready"), ROLLOUT_S),
        Wait(DAEMONSET, "kube-multus-ds", "kube-system", "on every node", rolled_out, ROLLOUT_S, pods="kube-system"),
    ))  # fmt: skip


def _nmstate(wanted: Wanted) -> Step:
    part, document = wanted.versions.parts["kubernetes-nmstate"], wanted.state / "nmstate.yaml"
    space = "nmstate"
    return Step("kubernetes-nmstate", f"node network policies, {part.version}", (
        *(wanted.apply("-f", manifest) for manifest in part.manifests),
        Wait(CRD, "nmstates.nmstate.io", "", "established", conditioned("Established"), 60),
        Wait(DEPLOYMENT, "nmstate-operator", space, "rolled out", rolled_out, ROLLOUT_S, pods=space),
        Write(document, files.nmstate()),
        wanted.apply("-f", str(document)),
        Wait(DAEMONSET, "nmstate-handler", space, "on every node", rolled_out, ROLLOUT_S, pods=space),
        Wait(NNS, "", "", "the state of every worker reported", all_of(wanted.worker_names), ROLLOUT_S, pods=space),
    ))  # fmt: skip


def _kubevirt(wanted: Wanted) -> Step:
    part, document, space = wanted.versions.parts["kubevirt"], wanted.state / "kubevirt.yaml", "kubevirt"
    return Step("kubevirt", f"virtual machines, {part.version}; emulated where the host has no KVM", (
        *(wanted.apply("-f", manifest) for manifest in part.manifests),
        Wait(CRD, "kubevirts.kubevirt.io", "", "established", conditioned("Established"), 60),
        Write(document, files.kubevirt()),
        wanted.apply("-f", str(document)),
        Wait(KUBEVIRT, "kubevirt", space, "Available", conditioned("Available"), KUBEVIRT_S, pods=space),
    ))  # fmt: skip
