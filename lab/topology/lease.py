"""One run per cluster: a coordination.k8s.io Lease that is held while the run lasts and renewed by a thread.

Two runs at once would take back each other's node policies. A holder that is gone (its time is over, or its process on
this very machine has ended) is replaced, and that is said; a living one only by whoever insists (`--takeover`). A run
whose lease was taken stops at its next scenario and touches only what it made itself.
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
from lab.core.numerals import whole

NAME, NAMESPACE = "virtlab", "default"
DURATION_S = 40
RENEW_S = 10.0
JOINED_S = 2.0
"""How often a worker looks whether its run still holds the cluster."""
ALONE = "to be the only run on this cluster"


class RunLease:
    """Held from :meth:`acquire` to :meth:`release`."""

    def __init__(self, client: Client, run_id: str, *, renew_s: float = RENEW_S) -> None:
        self._client = client
        self._run = run_id
        self._holder = f"{run_id} {socket.gethostname()} {os.getpid()}"
        self._renew_s = renew_s
        self._stop = threading.Event()
        self._lost = ""
        self._joined = False
        self._heir = ""
        self.replaced = False
        """Whether another run held it that did not give it back."""
        self._thread = threading.Thread(target=self._keep_on, name="lease", daemon=True)

    @property
    def _where(self) -> str:
        return f"{self._client.server}, Lease {NAMESPACE}/{NAME}"

    def acquire(self, *, takeover: bool = False) -> None:
        """Raises ClusterBusy naming the holder, since when it holds the cluster, and when that ends.

        With *takeover* a living holder is replaced, too.
        """
        found = self._client.find(LEASE, NAME, NAMESPACE)
        try:
            if found is None:
                self._client.create(self._body())
            else:
                self._replace(found, takeover)
        except (AlreadyExists, Conflict) as error:
            raise ClusterBusy(ALONE, "another run began just now", self._where, "wait for it, or end it") from error
        self._thread.start()

    @property
    def holder(self) -> str:
        """Who holds it, for the workers of a run to join."""
        return self._holder

    def join(self, holder: str) -> None:
        """Be a worker of the run that holds the cluster: another process renews its lease and gives it back.

        When that process dies its workers put everything back; one of them holds the cluster until then.

        Raises ClusterBusy when that run does not hold it (any more).
        """
        self._heir, self._holder, self._joined = self._holder, holder, True
        self._renew_s = min(self._renew_s, JOINED_S)
        self._renew()
        self.check()
        self._thread.start()

    def _replace(self, found: Obj, takeover: bool) -> None:
        reason = busy(found["spec"], datetime.now(UTC))
        if reason and not takeover:
            advice = "wait for it, or end it; if it is of no use any more: --takeover"
            raise ClusterBusy(ALONE, reason, self._where, advice)
        self.replaced = bool(found["spec"].get("holderIdentity"))
        if holder := found["spec"].get("holderIdentity"):
            trace.note("lease", f"taken over though {reason}" if reason else f"taken over from {holder}, which is gone")
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

    def _keep_on(self) -> None:
        while not self._lost and not self._stop.wait(self._renew_s):
            # A cluster that does not answer is told by whoever needs it; the lease then runs out by itself.
            with suppress(LabError):
                self._renew()

    def _renew(self) -> None:
        """By an update of what was read: a lease that somebody else has by now is not taken back from him."""
        found = self._client.find(LEASE, NAME, NAMESPACE)
        holder = str(((found or {}).get("spec") or {}).get("holderIdentity") or "nobody")
        if found is None or holder != self._holder:
            self._lost = holder
            return
        if self._joined:
            if not _ended_here(holder):
                return
            found["spec"]["holderIdentity"] = self._heir
        found["spec"]["renewTime"] = stamp(datetime.now(UTC))
        self._client.update(found)
        if self._joined:
            self._holder, self._joined = self._heir, False

    def check(self) -> None:
        """Raises ClusterBusy when the lease was taken from this run."""
        if self._lost:
            raise ClusterBusy(
                "to go on as the only run on this cluster",
                f"the lease was taken from this run; it is held by {self._lost}",
                self._where,
                "let one of the two runs have the cluster",
            )

    def release(self) -> None:
        """Give the cluster back, unless somebody else has it. Raises as Client.delete."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5)
        if self._joined:
            return
        found = self._client.find(LEASE, NAME, NAMESPACE)
        if found is not None and found["spec"].get("holderIdentity") == self._holder:
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
    pid = whole(words[2]) if len(words) == 3 and words[1] == socket.gethostname() else None
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
