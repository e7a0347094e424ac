"""Going into a running lab from outside: its own namespaces, a node's, an outside host's.

The user who made a user namespace may enter it, so ``nsenter`` is all that is needed: real terminals,
signals and exit statuses, no protocol of our own.  Whatever is started this way lives in the lab's PID
namespace and ends with it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from lab.embedded.errors import StateError, UsageError
from lab.embedded.faults.site import Runner, Site
from lab.embedded.host.command import run
from lab.embedded.kube import Kube
from lab.embedded.lifecycle import keys
from lab.embedded.lifecycle.layout import Layout, existing


def require_up(layout: Layout) -> dict[str, object]:
    """The facts of a lab that is up. Raises StateError."""
    if not layout.is_up():
        others = [lab.name for lab in existing() if lab.is_up()]
        raise StateError(
            f"wanted the lab {layout.name!r} to be up",
            f"it is not; up are: {', '.join(others) or 'none'}",
            advice=f"virtlab up --name {layout.name}",
        )
    facts = layout.read_facts()
    if "pid" not in facts:
        raise StateError(
            f"wanted the lab {layout.name!r} to be up",
            "it is only just coming up",
            advice=f"wait for its `virtlab up`; virtlab status --name {layout.name}",
        )
    return facts


def argv_inside(facts: Mapping[str, object], argv: Sequence[str]) -> list[str]:
    """``argv`` as it runs in the namespaces of the lab's supervisor."""
    user = ["--user", "--preserve-credentials"] if facts.get("user_namespace") else []
    return ["nsenter", f"--target={facts['pid']}", *user, "--mount", "--uts", "--net", "--pid", "--", *argv]


def argv_in_host(facts: Mapping[str, object], host: str, argv: Sequence[str]) -> list[str]:
    """``argv`` as it runs in the network of an outside host. Raises UsageError for an unknown one."""
    known = facts.get("outside_hosts")
    names = list(known) if isinstance(known, list) else []
    if host not in names:
        raise UsageError("wanted an outside host of this lab", repr(host), advice=f"one of {', '.join(names)}")
    return argv_inside(facts, ["nsenter", f"--net=/run/netns/{host}", "--", *argv])


def argv_in_node(layout: Layout, facts: Mapping[str, object], node: str, argv: Sequence[str]) -> list[str]:
    """``argv`` as it runs on a node, in all of its namespaces. Raises UsageError for an unknown one."""
    inits = json.loads(layout.nodes.read_text())
    if node not in inits:
        raise UsageError("wanted a node of this lab", repr(node), advice=f"one of {', '.join(inits)}")
    into = ["nsenter", f"--target={inits[node]}", "--mount", "--uts", "--net", "--pid", "--", *argv]
    return argv_inside(facts, into)


def environment(facts: Mapping[str, object]) -> dict[str, str]:
    """The environment in which the lab's tools are found."""
    tools = facts.get("env")
    return {**os.environ, **(tools if isinstance(tools, dict) else {})}


def site(layout: Layout) -> Site:
    """The running lab as faults see it. Raises StateError when it is not up."""
    facts = require_up(layout)
    env = environment(facts)

    def runner(wrap: Callable[[Sequence[str]], list[str]], more: Mapping[str, str] = MappingProxyType({})) -> Runner:
        async def act(argv: Sequence[str]) -> str:
            return (await run(wrap(argv), env={**env, **more})).stdout

        return act

    hosts = facts.get("outside_hosts")
    tor = {"OVS_RUNDIR": "/run/tor"}
    return Site(
        switch=runner(lambda argv: argv_inside(facts, ["nsenter", "--net=/run/netns/tor", "--", *argv]), tor),
        node=lambda name: runner(lambda argv: argv_in_node(layout, facts, name, argv)),
        outside=lambda name: runner(lambda argv: argv_in_host(facts, name, argv)),
        nodes=tuple(json.loads(layout.nodes.read_text())),
        hosts=tuple(hosts) if isinstance(hosts, list) else (),
        kube=lambda: Kube(
            f"https://127.0.0.1:{facts.get('port')}",
            token=keys.token(layout, keys.ADMIN),
            ca=layout.pki / "ca.crt",
            user_agent="virtlab-fault",
        ),
    )
