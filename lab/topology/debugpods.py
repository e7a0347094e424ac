"""Debug pods of a feature: one per node that is asked for, in a namespace of their own, made together."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from lab.access.kinds import NAMESPACE, Obj
from lab.core.deadline import Deadline
from lab.core.errors import UsageError
from lab.core.names import dns_label
from lab.netmanager import debugpod
from lab.topology import pods
from lab.topology.ground import namespace
from lab.topology.site import Site

RUNNING_S = 120.0


class DebugPods:
    """``template`` is the literal manifest."""

    def __init__(self, site: Site, template: Obj) -> None:
        self._site = site
        self._template = template
        self._shells: dict[str, debugpod.NodeShell] = {}
        self._turns = itertools.count()
        self.namespace = dns_label(f"virtlab-{site.run_id}-{site.feature}-debug")

    def pair(self) -> tuple[str, str]:
        """A worker and another one, the first in turn. Raises UsageError with a single worker."""
        workers, turn = self._site.workers, next(self._turns)
        if len(workers) < 2:
            raise UsageError("two workers, one of which sends packets to the other", f"there is {', '.join(workers)}")
        return workers[turn % len(workers)], workers[(turn + 1) % len(workers)]

    def on(self, nodes: Sequence[str]) -> list[debugpod.NodeShell]:
        """A shell on each node, in that order; a new one where it ended with its node. Raises as pods.wait_running."""
        site, client = self._site, self._site.client
        for node in self._shells.keys() & set(nodes):
            self._shells[node].revive(Deadline.after(RUNNING_S))
        fresh = [node for node in nodes if node not in self._shells]
        if fresh and not self._shells:
            site.undo.push(f"namespace {self.namespace}", lambda d: client.delete(NAMESPACE, self.namespace, wait=d))
            client.create(namespace(self.namespace, site.run_id))
        for node in fresh:
            body = debugpod.manifest(
                self._template,
                name=dns_label(f"{node}-debug"),
                namespace=self.namespace,
                node=node,
                image=site.target.pod_image,
                run=site.run_id,
            )
            self._shells[node] = debugpod.NodeShell(client, client.create(body))
        if fresh:
            names = [self._shells[node].name for node in fresh]
            pods.wait_running(client, self.namespace, names, deadline=Deadline.after(RUNNING_S))
        return [self._shells[node] for node in nodes]
