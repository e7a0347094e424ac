"""The embedded lab's command line: arguments in, exit codes out, nothing else.

Exit codes: 0 done, 1 not done, 2 wrong use, 10 this host cannot carry a lab.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from lab.embedded.errors import HostForbids, LabError

DEFAULT_NAME = os.environ.get("VIRTLAB_NAME", "virtlab")
ELSEWHERE = frozenset({"outside", "node"})
"""Commands that carry another program's words behind their own."""


class Parser(argparse.ArgumentParser):
    """Says what was wrong in one message, with the usage as what to try."""

    def error(self, message: str) -> NoReturn:
        """Ends with status 2."""
        usage = " ".join(self.format_usage().split()).removeprefix("usage: ")
        self.exit(2, f"{self.prog}: {message}\n  try: {usage}\n")


def _workers(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"wanted a number from 1 to 9, found {text!r}")
    return int(text)


class _Commands:
    """The commands as argparse has them, each with the lab's name among its options."""

    def __init__(self, top: argparse.ArgumentParser) -> None:
        self._known = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(self, name: str, text: str) -> argparse.ArgumentParser:
        made = self._known.add_parser(name, help=text, description=text)
        made.add_argument(
            "--name", default=DEFAULT_NAME, help="the lab's name (default: %(default)s, or $VIRTLAB_NAME)"
        )
        return made


def parser() -> argparse.ArgumentParser:
    """All commands; help texts are what `virtlab help COMMAND` shows."""
    top = Parser(prog="virtlab", description="the embedded lab: a cluster without a cluster")
    commands = _Commands(top)
    _up(commands.add("up", "bring a lab up; one that is up is left alone"))
    made = commands.add("down", "end a lab, completely")
    made.add_argument("--purge", action="store_true", help="also remove its logs and keys")
    made = commands.add("status", "what is up")
    made.add_argument("--json", action="store_true", help="for programs")
    made.add_argument("--all", action="store_true", help="every lab of this user")
    made = commands.add("kubeconfig", "print the path of the lab's kubeconfig")
    made.add_argument("--admin", action="store_true", help="the administrator's, also after `up --rbac`")
    commands.add("doctor", "can this host carry a lab?")
    made = commands.add("fetch", "download programs that only some uses of a lab need; labs that are up find them too")
    made.add_argument("group", nargs="?", default="networkmanager", help="which (default: %(default)s)")
    made.add_argument("--offline", action="store_true", help="only say whether they are there")
    _fault(commands.add("fault", "break a real part of the lab, and mend it"))
    made = commands.add("outside", "run a command on a host beside the cluster, e.g. gateway-2024")
    made.add_argument("action", choices=["exec", "connect", "list"])
    made.add_argument("host", nargs="?", help="its name; the words of the command follow, behind --")
    made.usage = "%(prog)s [--name NAME] {exec,connect,list} [host] [-- command ...]"
    made = commands.add("node", "run a command on a node of the lab")
    made.add_argument("action", choices=["exec"])
    made.add_argument("host", metavar="node", help="its name; the words of the command follow, behind --")
    made.usage = "%(prog)s [--name NAME] exec node -- command ..."
    return top


def _up(made: argparse.ArgumentParser) -> None:
    made.add_argument("--workers", type=_workers, default=3, help="worker nodes, 1-9 (default: 3)")
    made.add_argument(
        "--nmstate", metavar="RELEASE", help="the kubernetes-nmstate to play, 0.83 to 0.86 (default: 0.86)"
    )
    made.add_argument("--kubevirt", metavar="RELEASE", help="the KubeVirt to play, 1.3 to 1.9 (default: 1.8)")
    made.add_argument(
        "--pod-security",
        choices=["privileged", "baseline", "restricted"],
        help="the Pod Security Standard that namespaces enforce which name none (default: privileged)",
    )
    made.add_argument("--offline", action="store_true", help="use what is in the cache, download nothing")
    made.add_argument(
        "--ovnk-bug",
        action="append",
        default=[],
        metavar="REPORT",
        help="OVN-Kubernetes is a release with this bug, e.g. OCPBUGS-27215; as `virtlab fault set ovnk-bug`",
    )
    made.add_argument(
        "--rbac",
        nargs="?",
        const="",
        metavar="FILE",
        help="the kubeconfig is of a ServiceAccount with the roles in FILE (default: deploy/rbac.yaml)",
    )
    made.add_argument("--plan", action="store_true", help="say what would be made, and stop")


def _fault(made: argparse.ArgumentParser) -> None:
    made.add_argument("action", choices=["set", "list", "heal"])
    made.add_argument("fault", nargs="?", help="the fault's name; `heal` without one heals all")
    made.add_argument(
        "arguments",
        nargs="*",
        default=[],
        metavar="key=value",
        help="what the fault is set on, e.g. node=worker-2; further faults behind a +",
    )
    made.add_argument("--json", action="store_true", help="for programs")


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words that are ours and those of the program to run elsewhere: all behind ``--``, or behind the host.

    ``--name`` is ours wherever it stands before that, and comes first: argparse gives up on an optional
    place, here the host, at the first option.
    """
    ours: list[str] = []
    name: list[str] = []
    rest = list(words)
    places = 0
    while rest and rest[0] != "--" and (places < 3 or rest[0].startswith("--name")):
        word = rest.pop(0)
        if word.startswith("--name"):
            name += [word, *rest[: word == "--name"]]
            del rest[: word == "--name"]
            continue
        ours.append(word)
        places += not word.startswith("-")
    return [*ours[:1], *name, *ours[1:]], rest[1:] if rest[:1] == ["--"] else rest


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    if given[:1] == ["_supervise"]:
        from lab.embedded.lifecycle.supervisor import entry

        entry(given[1:])
        return 0
    ours, rest = split(given) if given[:1] and given[0] in ELSEWHERE else (given, [])
    arguments = parser().parse_args(ours)
    arguments.argv = rest
    from lab.embedded import commands

    try:
        return commands.TABLE[arguments.command](arguments)
    except LabError as problem:
        print(f"virtlab: {problem}", file=sys.stderr)
        return problem.exit_code
    except KeyboardInterrupt:
        print("virtlab: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    except OSError as problem:
        refused = HostForbids(
            f"wanted `virtlab {arguments.command}` to use this host's files and programs",
            problem.strerror or str(problem),
            where=str(problem.filename or ""),
            advice="virtlab doctor",
        )
        print(f"virtlab: {refused}", file=sys.stderr)
        return refused.exit_code
