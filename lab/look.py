"""The commands that only look, at files or at a cluster: flags to calls, and what they found as lines.

They print nothing themselves and change nothing. Imports wait until a command needs them: an audit of files must not
pay for a client of a cluster.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from lab.core.deadline import Deadline
from lab.core.errors import UsageError

if TYPE_CHECKING:
    from lab.access.client import Client
    from lab.target.inventory import Target
    from lab.topology.guests import Login

Found = tuple[int, Iterable[str]]
"""Exit code and lines to print."""
PASSWORD = "VIRTLAB_GUEST_PASSWORD"  # noqa: S105 (the name of a variable)


def audit(about: str, arguments: list[str]) -> Found:
    """0 clean, 1 findings, 2 no finding but an input of no use or a zone that could not be read. Raises LabError."""
    parser = argparse.ArgumentParser(prog="virtlab audit", description=about)
    routes = parser.add_subparsers(dest="what", required=True).add_parser(
        "routes",
        help="static routes of OVN-Kubernetes' cluster routers",
        description="Static routes of OVN-Kubernetes' cluster routers, as people paste and collect them (PATH...), or "
        "of a running cluster (no PATH), every zone at once.",
    )
    routes.add_argument("paths", nargs="*", metavar="PATH", help="file, folder, archive, or - for stdin")
    form = routes.add_mutually_exclusive_group()
    form.add_argument("--json", dest="form", action="store_const", const="json", help="for programs: docs/audit.md")
    form.add_argument("--markdown", dest="form", action="store_const", const="markdown", help="for a ticket")
    routes.add_argument(
        "--complete-inventory", action="store_true", help="the inventory in PATH has every VM of the cluster"
    )
    _cluster_options(routes)
    routes.add_argument("--settle", type=float, default=5.0, metavar="S", help="pause before a fault is read again (5)")
    given = parser.parse_args(arguments)
    from lab.ovn.report import render

    if given.paths:
        from lab.ovn.audit import run

        _files_only(given)
        result = run(given.paths, everything=given.complete_inventory)
    else:
        from lab.ovn.live import audit_cluster

        try:
            client, target = _cluster(given)
        except UsageError as error:
            advice = f"{error.advice}; or give PATHs with captured routes".lstrip("; ")
            raise UsageError(error.wanted, error.found, error.where, advice) from error
        component = target.platform.ovn if target is not None else None
        result = audit_cluster(client, component, deadline=Deadline.after(given.timeout), settle_s=given.settle)
    return result.exit_code, render(result, given.form or "table")


def show(about: str, arguments: list[str]) -> Found:
    """0 shown, and every ping answered; 1 a ping was not answered; 10 a guest could not be asked. Raises LabError."""
    parser = argparse.ArgumentParser(prog="virtlab show", description=about)
    shown = parser.add_subparsers(dest="what", required=True).add_parser(
        "placement", help="VMs as hosted nodes, their launcher pods (ended ones too) and node subnets"
    )
    shown.add_argument("-n", "--namespace", default="", help="of the VMs; default: all")
    shown.add_argument("--json", action="store_true", help="for programs: docs/audit.md")
    shown.add_argument("--ping", default="", metavar="NAME", help="from each VM to this name or address")
    shown.add_argument("--image", default="default", help="whose login in the target file is the guests' (default)")
    shown.add_argument("--user", default="", help="a login of the guests, in place of the target file's")
    shown.add_argument("--password-file", default="", metavar="FILE", help=f"its password; else ${PASSWORD}")
    _cluster_options(shown)
    given = parser.parse_args(arguments)
    from lab.topology.guests import ping_from_each
    from lab.topology.placement import place
    from lab.topology.placementtext import text

    client, target = _cluster(given)
    deadline = Deadline.after(given.timeout)
    placement = place(client, target.platform.ovn if target else None, given.namespace, deadline=deadline)
    if given.ping:
        ping_from_each(client, placement, _login(given, target), given.ping, deadline=deadline)
    outcomes = {vm.ping.outcome for vm in placement.vms if vm.ping is not None}
    code = 1 if "not reached" in outcomes else 10 if "inconclusive" in outcomes else 0
    return code, [json.dumps(placement.document(), indent=2)] if given.json else text(placement)


def _cluster_options(parser: argparse.ArgumentParser) -> None:
    """Which cluster: a target file, a kubeconfig, or what kubectl would use."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--target", default="", metavar="FILE", help="the cluster of a target file")
    where.add_argument("--kubeconfig", default="", metavar="FILE", help="default: $KUBECONFIG, ~/.kube/config")
    parser.add_argument("--context", default="", help="a context of the kubeconfig")
    parser.add_argument("--timeout", type=float, default=120.0, metavar="S", help="seconds for all of it (120)")


def _cluster(given: argparse.Namespace) -> tuple[Client, Target | None]:
    """A client that has answered once, and the target file if there is one. Raises LabError."""
    from lab.access.client import Client
    from lab.target.connect import connect
    from lab.target.inventory import load

    if given.target:
        if given.context:
            raise UsageError("a target or a context", "--target and --context", "", "the target file names its context")
        target = load(Path(given.target))
        return connect(target), target
    client = Client.connect(Path(given.kubeconfig).expanduser() if given.kubeconfig else None, given.context)
    client.version()
    return client, None


def _files_only(given: argparse.Namespace) -> None:
    named = [option for option in ("target", "kubeconfig", "context") if getattr(given, option)]
    if named:
        found = f"both a PATH and --{named[0]}"
        raise UsageError("files or a cluster", found, "", "leave one of them out: PATHs are read without any cluster")


def _login(given: argparse.Namespace, target: Target | None) -> Login:
    """Raises UsageError when nothing says how to get into the guests."""
    from lab.topology.guests import Login

    if not given.user and target is not None:
        image = target.image(given.image)
        return Login(image.user, image.password)
    if not given.user:
        advice = "--user NAME and --password-file FILE, or --target FILE"
        raise UsageError("a login of the guests, to ping from them", "none was given", "--ping", advice)
    if not given.password_file:
        return Login(given.user, os.environ.get(PASSWORD, ""))
    try:
        return Login(given.user, Path(given.password_file).read_text(encoding="utf-8").strip("\r\n"))
    except (OSError, ValueError) as error:
        raise UsageError("a file with the guests' password", str(error), given.password_file, "one line") from error
