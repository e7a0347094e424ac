"""Why a guest's memory does not get to another worker: the path of that TCP connection, from node to node.

A migration that could not connect says to which address and port, and with which error. The same is tried again from
the source's node, beside a ping; the packet filters of both nodes are read. Judging is pure; nothing is changed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lab.core import facts
from lab.core.deadline import Deadline
from lab.core.errors import LabError
from lab.diagnosis.cause import Said
from lab.ovn.reader import SwitchReader
from lab.probes import packetfilter
from lab.probes.packetfilter import Rule
from lab.probes.ping import parse_summary

BUDGET_S = 20.0
NETWORK = "the network of migrations"
TRIES = 3
_ASKED = re.compile(r"unable to connect to server at '(?P<address>[^']+):(?P<port>\d+)': (?P<why>[^\n(]+)")
_ENDS = re.compile(r"\(from (?P<source>\S+) to (?P<target>\S+)\)")
MARK = "== virtlab =="
# $1: address, $2: port, $3: tries. bash connects by itself: what else a node has cannot be known.
TRY = f"""ip -o route get "$1"
echo '{MARK}'; ping -c 3 -i 0.3 -W 1 "$1" 2>&1
echo '{MARK}'
n=0; while [ $n -lt "$3" ]; do
  n=$((n + 1)); timeout 2 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>&1; echo "status $?"
done
true"""


@dataclass(frozen=True)
class Connection:
    """What a migration could not make: the worker and its peer, the peer's address and port, and the error."""

    source: str
    target: str
    address: str
    port: int
    why: str

    def __str__(self) -> str:
        return f"TCP from {self.source} to {self.address}, port {self.port}"


@dataclass(frozen=True)
class Tried:
    """The same tried again: the route, answers to pings (None: not read), and what became of each attempt."""

    route: str = ""
    answered: int | None = None
    attempts: tuple[str, ...] = ()
    """connected, refused, silent."""


def read_failure(text: str) -> Connection | None:
    """The connection that a migration's reason names; None when it failed for another one."""
    asked, ends = _ASKED.search(text), _ENDS.search(text)
    if asked is None or ends is None:
        return None
    return Connection(ends["source"], ends["target"], asked["address"], int(asked["port"]), asked["why"].strip())


def read_tried(text: str) -> Tried:
    """The output of :data:`TRY`. Raises ValueError for something else."""
    parts = text.split(MARK)
    if len(parts) != 3:
        raise ValueError(f"wanted three parts, found {text.strip()[-200:]!r}")
    summary = parse_summary(parts[1])
    attempts = re.split(r"^status (\d+)$", parts[2], flags=re.M)
    made = [_attempt(said, int(code)) for said, code in zip(attempts[::2], attempts[1::2], strict=False)]
    return Tried(parts[0].strip().splitlines()[0] if parts[0].strip() else "", summary and summary[1], tuple(made))


def _attempt(said: str, code: int) -> str:
    if code == 0:
        return "connected"
    return "refused" if "refused" in said.lower() else "silent"


def judge(asked: Connection, tried: Tried | None, there: Sequence[Rule], here: Sequence[Rule]) -> str:
    """Where that connection is lost, in one sentence with its place; "" when nothing says so. Pure."""
    for node, rules in ((asked.target, there), (asked.source, here)):
        if rules:
            return Said(f"{node}: its packet filter {rules[0].does} {asked}: {rules[0]}", node, "uplink")
    if tried is None:
        return ""
    if tried.answered == 0:
        said = f"nothing passes from {asked.source} to {asked.target}: pings of {asked.address} are not answered either"
        return Said(said, asked.target, "cable")
    if tried.attempts and set(tried.attempts) == {"silent"} and tried.answered:
        said = f"pings pass, {asked} does not, and no packet filter of the two nodes names it: what is between drops it"
        return Said(said, asked.target, "network")
    return ""


def lines(asked: Connection, tried: Tried | None, there: Sequence[Rule], here: Sequence[Rule], found: str) -> list[str]:
    """The path to be read by people, a line per station."""
    lost = getattr(found, "node", "") if getattr(found, "part", "") == "uplink" else ""
    rows = [f"a guest's memory: {asked}, which failed with {asked.why!r}"]
    rows += [_filter(asked.source, here, lost)]
    if tried is not None:
        pings = "?" if tried.answered is None else f"{tried.answered} of 3"
        rows += [f"     {asked.source}: route: {tried.route or '?'}"]
        rows += [f"     {asked.source}: ping of {asked.address}: {pings} answered"]
        rows += [f"     {asked.source}: TCP to {asked.address}:{asked.port} again: {', '.join(tried.attempts) or '?'}"]
    rows += [_filter(asked.target, there, lost)]
    return [*rows, found or "none of these loses it now"]


def _filter(node: str, rules: Sequence[Rule], lost: str) -> str:
    said = "; ".join(f"{rule.does}: {rule}" for rule in rules) or "no rule on it"
    return f"{'LOST' if rules and node == lost else '':4} {node}: packet filter: {said}"


def explain(reader: SwitchReader, vm: str, text: str) -> str:
    """Why the migration of a VM that failed with *text* could not connect, told to the record; "" if it could."""
    asked = read_failure(text)
    if asked is None:
        return ""
    deadline = Deadline.after(BUDGET_S)

    def rules(node: str) -> tuple[Rule, ...]:
        said = _run(reader, node, packetfilter.ARGV, deadline)
        return packetfilter.rules_for(said, "tcp", asked.port)

    with ThreadPoolExecutor(3, "move") as pool:
        again = pool.submit(_again, reader, asked, deadline)
        ends = [pool.submit(rules, node) for node in (asked.target, asked.source)]
        tried, there, here = again.result(), ends[0].result(), ends[1].result()
    found = judge(asked, tried, there, here)
    place = getattr(found, "node", ""), getattr(found, "part", "")
    shown = lines(asked, tried, there, here, found)
    facts.tell(vm, facts.Path(vm, asked.address, NETWORK, tuple(shown), *place))
    if not found:
        return ""
    cause = f"VM {vm} cannot move from {asked.source} to {asked.target} ({asked.why}): {found}"
    facts.tell(vm, facts.Cause(cause, NETWORK, "", (asked.source, asked.target), *place))
    return cause


def _again(reader: SwitchReader, asked: Connection, deadline: Deadline) -> Tried | None:
    argv = ("sh", "-c", TRY, "sh", asked.address, str(asked.port), str(TRIES))
    try:
        return read_tried(_run(reader, asked.source, argv, deadline))
    except ValueError:
        return None


def _run(reader: SwitchReader, node: str, argv: Sequence[str], deadline: Deadline) -> str:
    try:
        return reader.run(node, argv, deadline=deadline).stdout
    except LabError:
        return ""
