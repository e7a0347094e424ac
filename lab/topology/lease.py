"""One run per cluster: a coordination.k8s.io Lease that is held while the run lasts and renewed by a thread.

Two runs at once would take back each other's node policies. A holder that is gone (its time is over, or its process on
this very machine has ended) is replaced, and that is said.
"""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from datetime import UTC, datetime

from lab.access.client import Client
from lab.access.errors import AlreadyExists, Conflict
from lab.access.kinds import LEASE, Obj
from lab.core import trace
from lab.core.errors import ClusterBusy, LabError
from lab.core.names import ownership

NAME, NAMESPACE = "virtlab", "default"
DURATION_S = 40
RENEW_S = 10.0


class RunLease:
    """Held from :meth:`acquire` to :meth:`release`."""

    def __init__(self, client: Client, run_id: str) -> None:
        self._client = client
        self._run = run_id
        self._holder = f"{run_id} {socket.gethostname()} {os.getpid()}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def acquire(self) -> None:
        """Raises ClusterBusy naming the holder, since when it holds the cluster, and when that ends."""
        found = self._client.find(LEASE, NAME, NAMESPACE)
        try:
            if found is None:
                self._client.create(self._body())
            else:
                self._replace(found)
        except (AlreadyExists, Conflict) as error:
            raise ClusterBusy("to be the only run on this cluster", "another run began just now") from error
        self._thread.start()

    def _replace(self, found: Obj) -> None:
        if reason := busy(found["spec"], datetime.now(UTC)):
            raise ClusterBusy(
                "to be the only run on this cluster",
                reason,
                f"{self._client.server}, Lease {NAMESPACE}/{NAME}",
                "wait for it, or end it",
            )
        if holder := found["spec"].get("holderIdentity"):
            trace.note("lease", f"taken over from run {holder}, which is gone")
        body = self._body()
        body["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
        self._client.update(body)

    def _body(self) -> Obj:
        now = stamp(datetime.now(UTC))
        spec = {
            "holderIdentity": self._holder,
            "leaseDurationSeconds": DURATION_S,
            "acquireTime": now,
            "renewTime": now,
        }
        meta = {"name": NAME, "namespace": NAMESPACE, "labels": ownership(self._run)}
        return {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": meta, "spec": spec}

    def _renew(self) -> None:
        while not self._stop.wait(RENEW_S):
            # A cluster that does not answer is told by whoever needs it; the lease then runs out by itself.
            with suppress(LabError):
                renewed = {"spec": {"renewTime": stamp(datetime.now(UTC)), "holderIdentity": self._holder}}
                self._client.patch(LEASE, NAME, NAMESPACE, renewed)

    def release(self) -> None:
        """Give the cluster back. Raises as Client.delete."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5)
        self._client.delete(LEASE, NAME, NAMESPACE)


def stamp(moment: datetime) -> str:
    """A MicroTime, as Leases have them."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def busy(spec: Obj, now: datetime) -> str:
    """Why a lease cannot be taken; empty when its holder is gone. Pure but for a look at this machine's processes."""
    holder = str(spec.get("holderIdentity") or "")
    renewed = spec.get("renewTime")
    if not holder or not renewed:
        return ""
    age = (now - datetime.fromisoformat(str(renewed).replace("Z", "+00:00"))).total_seconds()
    left = float(spec.get("leaseDurationSeconds") or DURATION_S) - age
    if left <= 0 or _ended_here(holder):
        return ""
    return f"{holder} holds it since {spec.get('acquireTime')} and must renew within {left:.0f} s"


def _ended_here(holder: str) -> bool:
    words = holder.split()
    if len(words) != 3 or words[1] != socket.gethostname() or not words[2].isdigit():
        return False
    try:
        os.kill(int(words[2]), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
