"""The residents of a feature: one pod per worker in each mapped segment, made together and waited for together."""

from __future__ import annotations

from lab.access.kinds import NODE, Obj
from lab.core.deadline import Deadline
from lab.core.names import dns_label, owned
from lab.multus import attachment
from lab.target.inventory import Segment
from lab.topology import pods
from lab.topology.ground import Ground

RUNNING_S = 120.0


class Residents:
    """Residents by segment name, and what each segment's attachment says."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.namespace = ground.name
        self.of: dict[str, list[pods.Resident]] = {}
        self.twins: dict[str, list[pods.Resident]] = {}
        """Those beyond the first on each worker, where the manifest asks for more."""
        self.networks: dict[str, attachment.Attachment] = {}

    def ensure(self, segment: Segment, nad: Obj, template: Obj) -> None:
        """One resident per worker in that segment, or as many as *template* says; made once, not waited for."""
        if segment.name in self.of:
            return
        if not self.of:
            self._ground.prepare()
        adapted = attachment.adapted(nad, namespace=self.namespace)
        self.networks[segment.name] = attachment.read_attachment(adapted)
        self._ground.client.create(owned(adapted, self._ground.run_id))
        hostnames = self._hostnames()
        each = pods.per_worker(template)
        workers = list(enumerate(self._ground.workers))
        everyone = [self._resident(segment, i, node, twin, each) for twin in range(each) for i, node in workers]
        self.of[segment.name] = everyone[: len(self._ground.workers)]
        self.twins[segment.name] = everyone[len(self._ground.workers) :]
        for resident in everyone:
            body = pods.manifest(
                template,
                resident,
                nad=str(nad["metadata"]["name"]),
                hostname=hostnames[resident.node],
                prefix=segment.prefix,
                image=self._ground.target.pod_image,
                run=self._ground.run_id,
            )
            self._ground.client.create(body)

    def _resident(self, segment: Segment, index: int, node: str, twin: int, each: int) -> pods.Resident:
        own = f"resident-{segment.vlan or segment.name}-{node}"
        return pods.Resident(
            pod=dns_label(f"{own}-{twin + 1}" if twin else own),
            namespace=self.namespace,
            node=node,
            segment=segment.name,
            address=pods.address_for(segment, index + twin * len(self._ground.workers)).partition("/")[0],
            number=index * each + twin,
        )

    def _hostnames(self) -> dict[str, str]:
        nodes = {n["metadata"]["name"]: n["metadata"].get("labels") or {} for n in self._ground.client.list(NODE)}
        return {name: str(labels.get("kubernetes.io/hostname", name)) for name, labels in nodes.items()}

    def wait(self) -> None:
        """Wait until every resident runs. Raises as pods.wait_running."""
        names = [r.pod for found in (*self.of.values(), *self.twins.values()) for r in found]
        if names:
            pods.wait_running(self._ground.client, self.namespace, names, deadline=Deadline.after(RUNNING_S))
