"""One run against one target: brings the lab up if it is down, holds the cluster, hands out scenes, puts it all back.

The one object that the steps' fixtures know. It decides no verdict, and everything that it changes is registered with
the undo stack first, so that :meth:`Lab.close` leaves the cluster as it was found, after Ctrl-C too.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.access import kinds
from lab.access.client import Client
from lab.access.kinds import NNS, NODE, Obj
from lab.core import process, trace
from lab.core.deadline import Deadline
from lab.core.errors import (
    AccessDenied,
    ApiDown,
    EnvironmentBroken,
    EnvironmentTimeout,
    GuestEnded,
    GuestUnreachable,
    Inconclusive,
    LabError,
    ProductFailure,
    UsageError,
    WaitHopeless,
)
from lab.core.part import STARTED, Part
from lab.core.turn import Turn
from lab.core.undo import UndoStack
from lab.diagnosis import moves
from lab.diagnosis.expect import lived_on
from lab.evidence import versions
from lab.evidence.collect import Sources
from lab.faults.port import FaultPort
from lab.target.capabilities import Capabilities, detect
from lab.target.connect import connect
from lab.target.inventory import Target
from lab.topology import snapshot
from lab.topology.clean import clean
from lab.topology.lease import RunLease
from lab.topology.manifests import Manifests
from lab.topology.scene import Scene
from lab.topology.site import Site

UP_S = 300.0
DOWN_S = 60.0
CLOSE_S = 240.0
START = "start:"
LOOK_S = 10.0
UNREADY = "kubectl describe node; a worker that is lost says nothing about the product"
LAST_LINES = 3
"""Of what a command said before it failed: the end tells why."""


class Lab:
    """Use :meth:`open`, then :meth:`scene` for each scenario, then :meth:`close`."""

    def __init__(self, target: Target, run_id: str, folder: Path) -> None:
        self.target = target
        self.run_id = run_id
        self.folder = folder
        self.undo = UndoStack()
        self.phases: dict[str, float] = {}
        self.capabilities: Capabilities
        self.client: Client
        self._sites: list[Site] = []
        self._faults: list[Callable[[UndoStack], object]] = []
        self._part: Part | None = None

    def open(self, *, takeover: bool = False, part: Part | None = None) -> Lab:
        """Reach the cluster, be its only run, and know what it can do; *takeover* ends another run's hold on it.

        As a *part* of a run in several: on a cluster that workers share, their run has done all this. A lab of a
        worker's own is started here, and ended by the run, when no other feature needs it.

        Raises:
            EnvironmentBroken: the lab does not come up, the API does not answer, another run holds the cluster.
            UsageError: the target's kubeconfig or context is none.
        """
        with _timed(self.phases, "lab up"), trace.span("lab", f"target {self.target.name}", "reaching it"):
            self._part = part
            self.client = self._reach()
        self._hold(takeover)
        self.capabilities = detect(self.client, self.target)
        self.target = self.capabilities.target
        if not self.capabilities.workers:
            raise EnvironmentBroken(
                f"a schedulable worker ({self.target.node_selector})", "there is none", self.client.server
            )
        if self.client.serves(NNS):
            with _timed(self.phases, "nodes read"):
                snapshot.refresh(self.client, self.capabilities.workers)
        return self

    def _hold(self, takeover: bool) -> None:
        self._lease = RunLease(self.client, self.run_id)
        if self._part and self._part.holder:
            self._lease.join(self._part.holder)
            self.undo.push("lease", lambda _: self._lease.release())
            return
        self._lease.acquire(takeover=takeover)
        self.undo.push("lease", lambda _: self._lease.release())
        with _timed(self.phases, "leftovers"):
            # Only a run that was cut short can have left faults: others may have been set by hand, to be looked at.
            clean(self.client, faults=self.faults if self._lease.replaced and self.target.faults else None)

    @property
    def holder(self) -> str:
        """Who holds the cluster, for the workers of this run."""
        return self._lease.holder

    def clean_part(self, run_id: str, *, faults: bool) -> list[str]:
        """Remove what a worker that died left, with *faults* those too; returns what. Raises EnvironmentBroken."""
        return clean(self.client, run_id, self.faults if faults and self.target.faults else None)

    def still_alone(self) -> None:
        """Raises ClusterBusy when another run took the cluster over."""
        self._lease.check()

    def explained(self, error: BaseException, scene: Scene | None = None) -> BaseException:
        """*error*, or the same as the environment's fault when a worker of the start is not Ready any more.

        What was missed or could not be observed is laid to a VM of the scenario that has ended meanwhile. An API that
        refuses us, or does not answer this either, explains itself; where a guest's stream ended alone, the guest is
        named.
        """
        if isinstance(error, AccessDenied) or not isinstance(error, LabError | AssertionError):
            return error
        try:
            nodes = self.client.list(NODE, deadline=Deadline.after(LOOK_S))
        except LabError:
            return error
        unready = [said for node in nodes if node["metadata"]["name"] in self.capabilities.workers
                   if (said := _unready(node))]  # fmt: skip
        if not unready:
            return (_of_guests(error, scene) if scene else None) or error
        found = f"{'; '.join(unready)}. Then: {_line(error)}"
        return EnvironmentBroken("every worker Ready while a scenario runs", found, self.client.server, UNREADY)

    def versions(self) -> dict[str, str]:
        """Of the cluster and what runs on it; what cannot be found out is left out."""
        return versions.of_cluster(self.client, self.target, self.capabilities.workers, self.capabilities.facts)

    def sources(self) -> Sources | None:
        """Where evidence can be taken when there is no scene: whatever of the cluster was reached by then."""
        if not hasattr(self, "client"):
            return None
        nodes = self.capabilities.workers if hasattr(self, "capabilities") else ()
        spaces = [site.residents.namespace for site in self._sites]
        secrets = [image.password for image in self.target.images.values()]
        return Sources(self.client, self.target, nodes, spaces, folder=self.folder, secrets=secrets)

    def _reach(self) -> Client:
        """The cluster of the target; a lab that does not answer is started, and then also ended by this run."""
        try:
            return connect(self.target)
        except (AccessDenied, UsageError):
            raise
        except EnvironmentBroken as error:
            if not self.target.lab.up or (self._part and self._part.holder):
                raise
            trace.note(f"target {self.target.name}", f"not up ({error.headline}); starting it")
        if self._part:
            self._part.tell(STARTED)
        elif self.target.lab.down:
            self.undo.push("the lab itself", lambda deadline: self._command(self.target.lab.down, deadline))
        try:
            self._command(self.target.lab.up, Deadline.after(UP_S))
        except EnvironmentTimeout:
            raise
        except EnvironmentBroken:
            # It ended by itself and says why; there is no lab to end.
            self.undo.abandon()
            raise
        return connect(self.target)

    @staticmethod
    def _command(argv: tuple[str, ...], deadline: Deadline) -> None:
        result = process.run(argv, deadline=deadline)
        if not result.ok:
            last = [line.strip() for line in result.output.splitlines() if line.strip()][-LAST_LINES:]
            raise EnvironmentBroken(
                f"`{' '.join(argv)}` to succeed",
                f"exit status {result.exit_code}: {'; '.join(last) or 'it said nothing'}",
                "this machine",
                "run it by hand",
            )

    def fault_each_policy(self, specs: Sequence[str]) -> None:
        """Make faults (words as the target's command takes them) once networks forward; healed at the end of the run.

        Raises UsageError when the target names no command for faults, or that command's list has not the fault.
        """
        if not specs:
            return
        port = self.faults
        chosen = self._known(specs)

        def inject(undo: UndoStack) -> None:
            # Healed before the policies are taken back: a fault remembers what it has to put back.
            undo.push("faults", lambda _: port.heal())
            port.heal()
            for words in chosen:
                port.set(words)

        self._faults.append(inject)

    def _known(self, specs: Sequence[str]) -> list[list[str]]:
        """The words of each fault. Raises UsageError when the target's command knows none of that name."""
        chosen = [_words(spec) for spec in specs]
        command, known = " ".join(self.target.faults), self.faults.list()
        for words in chosen:
            if words[0] not in known.split():
                raise UsageError(
                    f"--fault: a fault that `{command} list` knows", repr(words[0]), advice=f"{command} list"
                )
        return chosen

    @property
    def faults(self) -> FaultPort:
        """The target's faults. Raises UsageError when it names no command for them."""
        if not self.target.faults:
            raise UsageError("a command that makes faults", "the target names none", str(self.target.source))
        return FaultPort(self.target.faults)

    def feature(self, name: str) -> Site:
        """What a feature's scenarios share. Its end (:meth:`Site.close`) is also this run's, if nobody comes before."""
        shared = self._part and self._part.holder and Turn(Path(self._part.turn), self.run_id)
        site = Site(self.client, self.target, self.run_id, self.capabilities.workers, self.folder, name, shared or None)
        site.settled += self._faults
        self._sites.append(site)
        self.undo.push(f"feature {name}", site.close)
        return site

    def scene(self, site: Site, title: str, manifests: Path, *, disruptive: bool = False, fault: str = "") -> Scene:
        """A scenario's own place on the cluster; nothing is made before it is asked for.

        *fault* is made before its first check, or at once when it begins with ``start:``. Raises as `faults`.
        """
        made = Scene(site, Manifests(manifests), title, disruptive=disruptive)
        if fault:
            self._known([fault.removeprefix(START)])
            made.faults.arm(fault.removeprefix(START), site.unsettle)
        if fault.startswith(START):
            made.faults.strike({})
        return made

    def close(self, *, keep: bool = False) -> list[str]:
        """Undo everything, newest first, or leave it all when it is to be kept; returns what stays behind, in words."""
        if keep:
            left = [what for what in self.undo.abandon() if what != "lease" and not what.startswith("feature ")]
            left += [what for site in self._sites for what in site.abandon()]
            self._lease.release()
            return [*left, f"remove it with: virtlab clean --target {self.target.source}"] if left else []
        began = time.monotonic()
        try:
            failures = self.undo.unwind(CLOSE_S)
        finally:
            self.phases["clean-up"] = round(time.monotonic() - began, 3)
        by_cause: dict[str, list[str]] = {}
        for failure in failures:
            by_cause.setdefault(_cause(failure.error), []).append(failure.what)
        left = [f"{', '.join(what)}: {cause}" for cause, what in by_cause.items()]
        return [*left, f"remove it with: virtlab clean --target {self.target.source}"] if left else []


def _words(spec: str) -> list[str]:
    """The words of a --fault. Raises UsageError for none, and for a quote that is not closed."""
    try:
        words = shlex.split(spec)
    except ValueError as error:
        raise UsageError("--fault: words as a shell reads them", f"{spec!r} ({error})") from error
    if not words:
        raise UsageError("--fault: the name of a fault and its arguments", repr(spec))
    return words


def _of_guests(error: BaseException, scene: Scene) -> LabError | None:
    """What a scenario's VMs have to do with an error of a cluster that answers."""
    if isinstance(error, GuestEnded):
        return None
    if isinstance(error, Inconclusive | ProductFailure):
        # Whatever was missed then, and whoever is blamed for it, a guest that is no more can have no part in.
        return _ended(scene)
    if isinstance(error, WaitHopeless):
        _explain_move(error, scene)
        return error
    if not isinstance(error, ApiDown):
        return None
    for guest in scene.guests.values():
        if f"{guest.namespace}/{guest.name}" in error.wanted:
            found = f"{guest} does not answer through the API server, which itself does; {error.found}"
            return GuestUnreachable(error.wanted, found, error.where, f"is {guest.node} reached by the control plane?")
    return None


def _explain_move(error: WaitHopeless, scene: Scene) -> None:
    """Add to a migration that could not connect where that connection is lost."""
    for guest in scene.guests.values():
        if f"{guest.namespace}/{guest.name}-" in error.subject:
            if cause := moves.explain(scene.site.reader, guest.name, error.reason):
                error.reason = f"{error.reason}; {cause}"
            return


def _ended(scene: Scene) -> ProductFailure | None:
    """That a VM of a scenario is no more, or another one runs under its name."""
    for guest in scene.guests.values():
        try:
            if guest.uid:
                lived_on(scene.site, guest)
        except ProductFailure as error:
            return error
        except LabError:
            continue
    return None


def _cause(error: BaseException) -> str:
    """One line; what an API that does not answer, or refuses us, says is the same for everything that is left."""
    if isinstance(error, ApiDown | AccessDenied) and error.found:
        return error.found.splitlines()[0]
    return _line(error)


def _unready(node: Obj) -> str:
    """Since when and why a node is not Ready; empty when it is."""
    ready = kinds.condition(node, "Ready")
    if ready.get("status") == "True":
        return ""
    said = ready.get("message") or ready.get("reason") or "without a word"
    since = ready.get("lastTransitionTime", "unknown")
    return f"{node['metadata']['name']} is not Ready since {since}: {said.rstrip('.')}"


def _line(error: BaseException) -> str:
    return error.headline if isinstance(error, LabError) else f"{type(error).__name__}: {error}"


class _timed:  # noqa: N801
    """Adds the seconds of a block to a table."""

    def __init__(self, phases: dict[str, float], name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._phases, self._name, self._clock = phases, name, clock

    def __enter__(self) -> None:
        self._began = self._clock()

    def __exit__(self, *_: object) -> None:
        self._phases[self._name] = round(self._clock() - self._began, 3)
