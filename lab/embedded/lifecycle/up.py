"""Bringing a lab up: plan, tools, image, namespaces, and the wait until every node is Ready.

Idempotent: a lab that is up as asked is left alone.  Nothing is installed on the host and nothing
outside virtlab's own folders is written.  The supervisor is started here and never imported.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lab.embedded.errors import HostForbids, LabError, StateError
from lab.embedded.fabric import gateways
from lab.embedded.host import detached, oneuser, probe
from lab.embedded.host.detached import Detached
from lab.embedded.host.tools import Tools, find_tools
from lab.embedded.images.build import GuestImage, build_guest
from lab.embedded.lifecycle import keys
from lab.embedded.lifecycle.layout import Layout, cache_dir
from lab.embedded.lifecycle.restricted import restrict
from lab.embedded.model.spec import LabSpec

READY_SECONDS = 60.0
DEFAULTS = {"VIRTLAB_NMSTATE_PROBE_SECONDS": "15"}
"""Settings of the lab's programs, by the variables that they read, where upstream's own default is slow for a lab."""
PRODUCTS = {"nmstate": "kubernetes-nmstate", "kubevirt": "KubeVirt", "pod_security": "PodSecurity"}
Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What may differ between labs of the same plan."""

    offline: bool = False
    asked: frozenset[str] = frozenset(PRODUCTS)
    """Of which products a release (or level) was asked for: of others a lab that is up is fine with any."""

    roles: Sequence[dict[str, Any]] = ()
    """Objects of a ServiceAccount with its roles, whose kubeconfig is then the lab's."""

    def facts(self) -> dict[str, Any]:
        return {"offline": self.offline}


def plan(spec: LabSpec) -> str:
    """What `up` will make, for a person."""
    vlans = ", ".join(f"{v.vlan} ({v.gateway.ip})" for v in spec.vlans)
    workers = f"{spec.workers} worker{'s' * (spec.workers > 1)} ({', '.join(n.name for n in spec.nodes)})"
    return (
        f"lab {spec.name}: {workers}, one switch, VLAN gateways {vlans}, kubernetes-nmstate {spec.nmstate}, "
        f"KubeVirt {spec.kubevirt}, API on loopback; no root, nothing installed"
    )


def up(spec: LabSpec, options: Options, say: Say) -> dict[str, Any]:
    """Bring the lab up and return its facts. Raises LabError."""
    layout = Layout(spec.name)
    layout.make()
    lock = layout.take_lock()
    if lock is None:
        facts = _already(layout, spec, options)
    else:
        with _closing(lock):
            say(plan(spec))
            user_namespace = probe.user_namespace_needed()
            tools = find_tools(cache_dir(), progress=say, offline=options.offline)
            image = build_guest(tools, cache_dir(), progress=say)
            if user_namespace:
                path = oneuser.starters(layout.root / "bin", tools.env["PATH"])
                tools = replace(tools, env={**tools.env, "PATH": path})
            facts = _start(layout, spec, options, tools, image, lock, user_namespace, say)
    if options.roles:
        facts["kubeconfig"] = restrict(layout, f"https://127.0.0.1:{facts['port']}", options.roles)
        known = {key: value for key, value in facts.items() if key != "already"}
        layout.facts.write_text(json.dumps(known, indent=1))
    return facts


def _already(layout: Layout, spec: LabSpec, options: Options) -> dict[str, Any]:
    facts = layout.read_facts()
    if "seconds" not in facts:
        raise StateError(f"wanted to start the lab {spec.name!r}", "another `up` of that name is at work just now",
                         advice=f"wait for it, then `virtlab status --name {spec.name}`")  # fmt: skip
    if facts.get("workers") != spec.workers:
        raise StateError(
            f"wanted the lab {spec.name!r} with {spec.workers} workers",
            f"it is up with {facts.get('workers')}",
            advice=f"virtlab down --name {spec.name}, or another --name",
        )
    for product in PRODUCTS:
        release = getattr(spec, product)
        if product in options.asked and facts.get(product) != release:
            raise StateError(
                f"wanted the lab {spec.name!r} with {PRODUCTS[product]} {release}",
                f"it is up with {facts.get(product)}",
                advice=f"virtlab down --name {spec.name}, or another --name",
            )
    return {**facts, "already": True}


@contextlib.contextmanager
def _closing(fd: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(fd)


def _start(
    layout: Layout,
    spec: LabSpec,
    options: Options,
    tools: Tools,
    image: GuestImage,
    lock: int,
    user_namespace: bool,
    say: Say,
) -> dict[str, Any]:
    _clear(layout)
    with contextlib.closing(socket.create_server(("127.0.0.1", _port(layout)), backlog=128)) as listener:
        port = listener.getsockname()[1]
        keys.create(layout, spec, f"https://127.0.0.1:{port}")
        progress_r, progress_w = os.pipe()
        orders = {
            **_plan_facts(spec), "options": options.facts(), "listener": listener.fileno(), "progress": progress_w,
            "kernel": str(image.kernel), "initrd": str(image.initrd),
        }  # fmt: skip
        process = _spawn(layout, orders, tools, (listener.fileno(), progress_w, lock), user_namespace)
        os.close(progress_w)
    facts: dict[str, Any] = {
        **_plan_facts(spec), "keeper": process.pid, "user_namespace": user_namespace,
        "port": port, "kubeconfig": str(layout.kubeconfig), "outside_hosts": list(gateways.hosts(spec)),
        "env": dict(tools.env), "versions": dict(tools.versions), "image": image.digest, "started": time.time(),
    }  # fmt: skip
    layout.facts.write_text(json.dumps(facts, indent=1))
    try:
        with os.fdopen(progress_r) as progress:
            facts["seconds"] = _follow(progress, process, layout, say)
    except BaseException:
        # Also on Ctrl-C: a lab that never became ready must not stay behind.
        process.kill()
        layout.facts.unlink(missing_ok=True)
        raise
    facts["pid"] = process.only_child()
    layout.facts.write_text(json.dumps(facts, indent=1))
    (layout.root / "port").write_text(str(port))
    return facts


def _clear(layout: Layout) -> None:
    """What the lab of that name left the last time says nothing about this one."""
    layout.facts.unlink(missing_ok=True)
    for leftover in ("faults", "logs", "guests"):
        shutil.rmtree(layout.root / leftover, ignore_errors=True)
    layout.make()


def _plan_facts(spec: LabSpec) -> dict[str, Any]:
    """What the supervisor, and who looks at the lab later, know of its plan."""
    return {"name": spec.name, "workers": spec.workers, **{product: getattr(spec, product) for product in PRODUCTS}}


def _port(layout: Layout) -> int:
    """The port of the last time when it is free, so that kubeconfigs people copied stay good."""
    with contextlib.suppress(OSError, ValueError):
        wanted = int((layout.root / "port").read_text())
        with socket.create_server(("127.0.0.1", wanted)):
            return wanted
    return 0


def _spawn(
    layout: Layout, orders: dict[str, Any], tools: Tools, fds: tuple[int, ...], user_namespace: bool
) -> Detached:
    user = ["--user", "--map-root-user"] if user_namespace else []
    spaces = [*user, "--mount", "--net", "--pid", "--uts", "--propagation", "private"]
    program = [sys.executable, "-m", "lab.embedded", "_supervise", json.dumps(orders)]
    argv = ["unshare", *spaces, "--fork", "--kill-child", "--mount-proc", *program]
    return detached.start(argv, log=layout.logs / "supervisor.log", pass_fds=fds, env=environment(tools.env))


def environment(tools: Mapping[str, str]) -> dict[str, str]:
    """What is laid over the caller's variables for the lab's processes; the caller's own settings stay."""
    settings = {name: value for name, value in DEFAULTS.items() if name not in os.environ}
    return {**settings, **tools, "PYTHONUNBUFFERED": "1"}


def _follow(progress: Any, process: Detached, layout: Layout, say: Say) -> float:
    """Pass on what the supervisor tells until it says ready; return its seconds. Raises LabError."""
    alarm = _Alarm(READY_SECONDS)
    last = "nothing"
    with alarm:
        for line in progress:
            told = json.loads(line)
            last = told["step"]
            say(f"  {told['seconds']:5.1f} s  {last} {told.get('node') or told.get('error') or ''}".rstrip())
            if last == "ready":
                return float(told["seconds"])
            if last == "failed":
                break
    tail = (layout.logs / "supervisor.log").read_text(errors="replace").strip().splitlines()[-5:]
    found = f"not within {READY_SECONDS:g} s" if alarm.fired else "the supervisor ended"
    raise HostForbids(
        "wanted every node Ready",
        f"{found}; last step: {last}; {' / '.join(tail) or 'its log is empty'}",
        where=str(layout.logs),
        advice="virtlab doctor",
    )


class _Alarm:
    """Interrupts a blocking read when time is up."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.fired = seconds, False

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGALRM, self._fire)
        signal.setitimer(signal.ITIMER_REAL, self.seconds)

    def _fire(self, *_: object) -> None:
        self.fired = True
        raise _LateError

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)
        return kind is _LateError


class _LateError(LabError):
    def __init__(self) -> None:
        super().__init__("wanted an answer in time", "none")
