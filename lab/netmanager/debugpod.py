"""A pod on a node as ``oc debug node/X`` makes it, and a shell on the node through it.

The pod has the node's network and processes, and its files at ``/host``; commands run behind ``chroot /host``, as the
documentation types them, so that they are the node's own.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

from lab.access.client import Client
from lab.access.kinds import Obj
from lab.core.deadline import Deadline
from lab.core.names import owned
from lab.core.result import CommandResult

HOST = "/host"
LABEL = "virtlab.dev/node-shell"
"""On every debug pod: what was changed by hand on a node can be found and taken back through them."""


def manifest(template: Obj, *, name: str, namespace: str, node: str, image: str, run: str) -> Obj:
    """The literal pod for one node; pure."""
    pod = copy.deepcopy(template)
    pod["metadata"] |= {"name": name, "namespace": namespace}
    pod["spec"]["nodeName"] = node
    for container in pod["spec"]["containers"]:
        container["image"] = image
    labels = {**(pod["metadata"].get("labels") or {}), LABEL: "true"}
    return owned({**pod, "metadata": {**pod["metadata"], "labels": labels}}, run)


class NodeShell:
    """See Shell. ``pod`` is the running debug pod."""

    def __init__(self, client: Client, pod: Obj) -> None:
        self._client = client
        self._name = str(pod["metadata"]["name"])
        self._namespace = str(pod["metadata"]["namespace"])
        self._container = str(pod["spec"]["containers"][0]["name"])
        self.node = str(pod["spec"]["nodeName"])
        self.place = f"node {self.node} (debug pod)"

    def run(self, argv: Sequence[str], *, deadline: Deadline) -> CommandResult:
        """As Client.exec."""
        words = ["chroot", HOST, *argv]
        return self._client.exec(self._name, self._namespace, self._container, words, deadline=deadline)

    def close(self) -> None:
        """Nothing is held open between commands."""
