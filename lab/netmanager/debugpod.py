"""A pod on a node as ``oc debug node/X`` makes it, and a shell on the node through it.

The pod has the node's network and processes, and its files at ``/host``; commands run behind ``chroot /host``, as the
documentation types them, so that they are the node's own.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

from lab.access.client import Client
from lab.access.kinds import POD, Obj
from lab.core import trace
from lab.core.deadline import Deadline
from lab.core.names import dns_label, owned, unique
from lab.core.result import CommandResult
from lab.core.wait import Seen

HOST = "/host"
LABEL = "virtlab.dev/node-shell"
"""On every debug pod: what was changed by hand on a node can be found and taken back through them."""
ENDED = ("Succeeded", "Failed")


def manifest(template: Obj, *, name: str, namespace: str, node: str, image: str, run: str) -> Obj:
    """The literal pod for one node; pure."""
    pod = copy.deepcopy(template)
    pod["metadata"] |= {"name": name, "namespace": namespace}
    pod["spec"]["nodeName"] = node
    for container in pod["spec"]["containers"]:
        container["image"] = image
    labels = {**(pod["metadata"].get("labels") or {}), LABEL: "true"}
    return owned({**pod, "metadata": {**pod["metadata"], "labels": labels}}, run)


def again(pod: Obj) -> Obj:
    """The same pod under another name; pure. A pod that ended is never started again, as its node's power is."""
    meta = pod["metadata"]
    named = {"name": unique(dns_label(meta["name"])), "namespace": meta["namespace"], "labels": meta["labels"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": named, "spec": copy.deepcopy(pod["spec"])}


def phase(pod: Obj | None) -> str:
    """Of a pod; empty before its node knows of it."""
    return str(((pod or {}).get("status") or {}).get("phase") or "")


class NodeShell:
    """See Shell. ``pod`` is the running debug pod."""

    def __init__(self, client: Client, pod: Obj) -> None:
        self._client = client
        self.name = str(pod["metadata"]["name"])
        self.namespace = str(pod["metadata"]["namespace"])
        self._container = str(pod["spec"]["containers"][0]["name"])
        self.node = str(pod["spec"]["nodeName"])
        self.place = f"node {self.node} (debug pod)"

    def run(self, argv: Sequence[str], *, deadline: Deadline) -> CommandResult:
        """As Client.exec."""
        words = ["chroot", HOST, *argv]
        return self._client.exec(self.name, self.namespace, self._container, words, deadline=deadline)

    def revive(self, deadline: Deadline) -> None:
        """Have another pod where this one ended: its node went down, and what was changed by hand is there again.

        Raises as Client.create, Client.wait_for.
        """
        pods = {pod["metadata"]["name"]: pod for pod in self._client.list(POD, self.namespace, labels=LABEL)}
        mine = pods.get(self.name)
        if phase(mine) not in ENDED or mine is None:
            return
        ended, self.name = self.name, str(self._client.create(again(mine), deadline=deadline)["metadata"]["name"])
        trace.note(self.place, f"pod {ended} is {phase(mine)}, and {self.name} takes its place")

        def running(pod: Obj | None) -> Seen[None]:
            return Seen(f"it is {phase(pod) or 'not there'}", phase(pod) == "Running")

        self._client.wait_for(POD, self.name, self.namespace, "Running", running, deadline=deadline)

    def close(self) -> None:
        """Nothing is held open between commands."""
