"""Judging a bridge that was made by hand on a node: as documented, answering, gone again."""

from __future__ import annotations

from lab.access.kinds import NODE, condition
from lab.core.errors import Inconclusive, ProductFailure, WaitTimeout
from lab.netmanager import documented
from lab.netmanager.switchover import RETURNED, seconds_between
from lab.topology.byhand import HandMadeBridge


def answers(made: HandMadeBridge) -> None:
    """Raises ProductFailure when the word to keep it was never given, or packets get no answer now."""
    names, node = made.names, made.node
    if made.trouble is not None:
        raise ProductFailure(
            f"{node} to answer over {names.bridge} within {made.patience_s} s of `nmcli con down '{names.wired}'`",
            f"{made.trouble.last}; it had no word to keep {names.bridge} and so goes back by itself",
            made.log() or f"node {node}, which cannot be asked now",
        )
    seen = made.ping()
    seen.conclusive()
    loss = seen.statistics.loss_percent if seen.statistics else 100.0
    if loss > made.site.target.thresholds.ping_loss_percent:
        raise ProductFailure(f"{node} to answer over {names.bridge}", seen.detail, str(seen.evidence or ""))


def as_documented(made: HandMadeBridge) -> None:
    """Raises ProductFailure with each difference from what the documentation shows."""
    if found := documented.differences(made.documented.shown, made.shown(), made.address):
        raise ProductFailure(
            f"nmcli and ip of {made.node} to show what the documentation shows", "; ".join(found), made.log()
        )


def ready(made: HandMadeBridge) -> None:
    """Raises ProductFailure when the node is not Ready."""
    found = condition(made.site.client.get(NODE, made.node), "Ready")
    if found.get("status") != "True":
        raise ProductFailure(
            f"{made.node} Ready", f"{found.get('status')}: {found.get('message')}", made.log() or f"node {made.node}"
        )


def went_back(made: HandMadeBridge, within_s: int) -> None:
    """Raises ProductFailure when the node does not go back in time; Inconclusive when it never lost its network."""
    if made.trouble is None or made.dark is None:
        raise Inconclusive(
            f"the switch-over to cost {made.node} its network, so that going back proves something",
            "packets to it were answered all the time" if made.dark is None else "it answered over the bridge",
            made.log(),
        )
    try:
        made.wait_returned(within_s)
    except WaitTimeout as error:
        raise ProductFailure(
            f"{made.node} back by itself {within_s} s after it had no word for {made.patience_s} s",
            error.last,
            made.log() or f"node {made.node}, which cannot be asked now",
        ) from error
    took = seconds_between(made.log(), f"no word within {made.patience_s} s", RETURNED)
    if took is None or took > within_s:
        raise ProductFailure(
            f"{made.node} back {within_s} s after it had no word for {made.patience_s} s",
            f"by its own clock it took {took} s" if took is not None else "it does not say that it had no word",
            made.log(),
        )


def as_before(made: HandMadeBridge) -> None:
    """Raises ProductFailure when profiles, or the main interface and its address, are not as they were."""
    now = {(p.name, p.type, p.device) for p in made.profiles()}
    before = {(p.name, p.type, p.device) for p in made.before}
    found = [f"the profile {name} ({type_}) is on {device or 'no device'} now" for name, type_, device in now - before]
    found += [f"the profile {name} ({type_}) is not on {device or 'no device'}" for name, type_, device in before - now]
    was, port = made.port_before, made.port()
    for what, old, new in (
        ("master", was.master, port.master),
        ("state", was.state, port.state),
        ("address", ", ".join(map(str, was.ipv4)), ", ".join(map(str, port.ipv4))),
    ):
        if old != new:
            found.append(f"{what} of {port.name} was {old or 'none'}, is {new or 'none'}")
    if found:
        raise ProductFailure(f"{made.node} as before {made.names.bridge} was made", "; ".join(found), made.log())
