"""The ``virtlab`` command: flags to calls, nothing else. Imports wait until a command needs them.

The embedded lab is another program: its commands are handed to ``python -m lab.embedded`` as they are, by replacing
this process, so that signals, terminal and exit code are its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

EMBEDDED = {
    "up": "bring the embedded lab up (idempotent)",
    "down": "end it, completely",
    "status": "what of it is up; --json for programs",
    "kubeconfig": "print the path of its kubeconfig",
    "doctor": "can this host carry it? With --target FILE: is that cluster fit for a run?",
    "fetch": "download what only some uses of it need: NetworkManager",
    "fault": "set, list or heal a fault of a real part of it",
    "outside": "run a command on a host beside the cluster",
    "node": "run a command on a node of it",
}
OWN = {
    "run": "run the features on a target: virtlab run [--target FILE] [-n N] [--plan] [--json] [pytest arguments]",
    "target": "write a target file, or check one: virtlab target init [-o FILE] | check FILE | schema",
    "capabilities": "what of a scenario's needs is there: virtlab capabilities [--target FILE] [--json]",
    "audit": "judge pod-network routes, of a cluster or offline: virtlab audit routes [PATH...] [--json | --markdown]",
    "nics": "the workers' NICs: cabled, used by what, free: virtlab nics [--target FILE] [--json]",
    "report": "a run's reports again, from its record: virtlab report [RUN] [--html | --junit | --markdown | --json]",
    "history": "the last runs of the store, and how often each scenario passed: virtlab history [--last N]",
    "compare": "two runs held against each other, a gate for releases: virtlab compare A B [--markdown | --html FILE]",
    "evidence": "what a failure would be explained with, by hand: virtlab evidence [--target FILE] [--folder DIR]",
    "show": "which VM is where, and what reaches the outside: virtlab show placement [-n NAMESPACE] [--ping NAME]",
    "case": "a customer's case, its manifests and a case.yaml, on any target: virtlab case run|show DIR",
    "kind": "a cluster of kind with all that a run needs: virtlab kind up|down|images [--plan]",
    "clean": "remove what killed or kept runs left on a cluster: virtlab clean [--target FILE] [--run ID | --all]",
}
ROOMS = {
    "report": "reports.cli",
    "history": "reports.historycli",
    "compare": "reports.comparecli",
    "evidence": "lab.evidence.cli",
    "target": "lab.survey.targetcli",
    "capabilities": "lab.survey.capabilitiescli",
    "kind": "lab.kind.cli",
}
"""Commands that are a module of their own, with a `main`."""
DEFAULT_TARGET = "targets/embedded.yaml"
RUN_OPTIONS = frozenset(
    {
        "--target",
        "--run-id",
        "--out",
        "--keep",
        "--fault",
        "--each-fault",
        "--evidence-budget",
        "--store",
        "--upload",
        "--workers",
    }
)
"""Options of `run` that take a word; `steps.plugin` defines them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code says how it went (10: the environment is broken)."""
    try:
        code = _main(list(sys.argv[1:] if argv is None else argv))
        # What fits into Python's buffer meets a pipe that is closed only here.
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Whoever reads has enough, as in `| head`; Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        print("virtlab: interrupted", file=sys.stderr)
        return 130


def _main(given: list[str]) -> int:
    command = given[0] if given else ""
    if command in {"", "-h", "--help", "help"} and len(given) < 2:
        print(usage())
        return 0 if command else 2
    if command == "help":
        command, given = given[1], [given[1], "--help"]
    if command == "doctor" and any(word.partition("=")[0] == "--target" for word in given):
        from lab.survey import doctorcli

        return doctorcli.main(given[1:])
    if command in EMBEDDED:
        os.execv(sys.executable, [sys.executable, "-m", "lab.embedded", *given])
    if command == "run":
        return _run(given[1:])
    if command in ROOMS:
        return _room(command, given[1:])
    if command == "clean":
        return _clean(given[1:])
    if command == "case":
        return _case(given[1:])
    if command == "nics":
        return _nics(given[1:])
    if command in ("audit", "show"):
        return _look(command, given[1:])
    import difflib

    close = difflib.get_close_matches(command, [*OWN, *EMBEDDED], 1)
    hint = f"; is {close[0]!r} meant?" if close else ""
    print(f"virtlab: wanted a command, found {command!r}{hint}\n\n{usage()}", file=sys.stderr)
    return 2


def usage() -> str:
    """What ``virtlab --help`` prints."""
    lines = ["usage: virtlab COMMAND [arguments]", "", "on any cluster:"]
    lines += [f"  {name:<14}{text}" for name, text in OWN.items()]
    lines += ["", "the embedded lab:"]
    lines += [f"  {name:<14}{text}" for name, text in EMBEDDED.items()]
    return "\n".join([*lines, "", "virtlab COMMAND --help says more"])


def _checkout() -> str:
    """The folder that has the features; the package runs from a checkout."""
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120


def _run(arguments: list[str]) -> int:
    """pytest on the features; a path among the arguments chooses among them."""
    root = _checkout()
    features = os.path.join(root, "features")  # noqa: PTH118
    if not os.path.isdir(features):  # noqa: PTH112
        print(f"virtlab: wanted the folder of features, found none at {features}; run from a checkout", file=sys.stderr)
        return 2
    given = _joined(_long(arguments))
    if "--json" in given:
        # The record, or the plan, is all that goes to standard output; what people read goes to the other one.
        given.remove("--json")
        apart = os.dup(1)
        os.set_inheritable(apart, True)
        os.environ["VIRTLAB_JSON_FD"] = str(apart)
        os.dup2(2, 1)
    chosen = any(os.path.exists(word.partition("::")[0]) for word in given if not word.startswith("-"))  # noqa: PTH110
    settings = os.path.join(root, "pyproject.toml")  # noqa: PTH118
    plain = ["-m", "pytest", "-c", settings, "--rootdir", root, "-p", "no:cacheprovider", "-r", "N", "--no-header"]
    return os.execv(sys.executable, [sys.executable, *plain, *([] if chosen else [features]), *given])


def _room(command: str, arguments: list[str]) -> int:
    from importlib import import_module

    return int(import_module(ROOMS[command]).main(arguments))


def _case(arguments: list[str]) -> int:
    from pathlib import Path

    from lab.cases.cli import main

    return main(arguments, _run, Path(_checkout()), os.environ.get("VIRTLAB_TARGET", DEFAULT_TARGET))


def _long(arguments: Sequence[str]) -> list[str]:
    """``-n 4`` and ``-n4`` as pytest can be told: short options of one small letter are its own."""
    return [
        "--workers" if word == "-n" else f"--workers={word[2:].removeprefix('=')}" if word.startswith("-n") else word
        for word in arguments
    ]


def _joined(arguments: Sequence[str]) -> list[str]:
    """``--target FILE`` as ``--target=FILE``, and so on.

    pytest looks for its settings and conftest files before it knows our options, and takes the word behind one of
    them for a path to tests: with a target file outside of the checkout it would read the settings beside that file.
    """
    joined: list[str] = []
    for word in arguments:
        if joined and joined[-1] in RUN_OPTIONS:
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _clean(arguments: list[str]) -> int:
    import argparse
    from pathlib import Path

    parser = argparse.ArgumentParser(prog="virtlab clean", description=OWN["clean"])
    parser.add_argument("--target", default=os.environ.get("VIRTLAB_TARGET", DEFAULT_TARGET), help="target file")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--run", default="", metavar="ID", help="only what this run left")
    which.add_argument("--all", action="store_true", help="what any run left (this is also the default)")
    parser.add_argument("--list", action="store_true", help="only say what is left")
    parser.add_argument("--takeover", action="store_true", help="take the cluster from a run that still holds it")
    given = parser.parse_args(arguments)

    from lab.core.errors import LabError
    from lab.core.told import tell
    from lab.faults.port import FaultPort
    from lab.target.connect import connect
    from lab.target.inventory import load
    from lab.topology.clean import clean, leftovers
    from lab.topology.lease import RunLease

    try:
        target = load(Path(given.target))
        client = connect(target)
        if given.list:
            print("\n".join(leftovers(client, given.run).words) or "nothing was left")
            return 0
        lease = RunLease(client, given.run or "clean")
        lease.acquire(takeover=given.takeover)
        try:
            removed = clean(client, given.run, FaultPort(target.faults) if target.faults and not given.run else None)
        finally:
            lease.release()
    except LabError as error:
        return tell(error)
    print("\n".join(f"removed {what}" for what in removed) or "nothing was left")
    return 0


def _nics(arguments: list[str]) -> int:
    """Reading only: what could be named in a target file."""
    import argparse
    import json
    from dataclasses import asdict
    from pathlib import Path

    parser = argparse.ArgumentParser(prog="virtlab nics", description=OWN["nics"])
    parser.add_argument("--target", default=os.environ.get("VIRTLAB_TARGET", DEFAULT_TARGET), help="target file")
    parser.add_argument("--json", action="store_true", help="for programs")
    given = parser.parse_args(arguments)

    from lab.core.errors import LabError
    from lab.core.told import tell
    from lab.target.connect import connect
    from lab.target.inventory import load
    from lab.topology.nics import table, workers_nics

    try:
        target = load(Path(given.target))
        found = workers_nics(connect(target), target)
    except LabError as error:
        return tell(error)
    if given.json:
        print(json.dumps([asdict(nic) | {"free": nic.free} for nic in found], indent=1))
    else:
        print("\n".join(table(found, target)))
    return 0


def _look(command: str, arguments: list[str]) -> int:
    """A command that changes nothing: 2 is a request that cannot be met, 10 a cluster that cannot be asked."""
    from lab import look
    from lab.core.errors import LabError
    from lab.core.told import tell

    try:
        code, lines = {"audit": look.audit, "show": look.show}[command](OWN[command], arguments)
    except LabError as error:
        return tell(error)
    for line in lines:
        print(line)
    return code


if __name__ == "__main__":
    sys.exit(main())
