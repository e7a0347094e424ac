"""`virtlab kind up|down|images`: flags to steps, and the target file of the new cluster."""

from __future__ import annotations

import argparse
import platform
import re
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from lab.core.errors import UsageError
from lab.core.told import told
from lab.kind import cables, doing, ownership, steps, tools
from lab.kind.steps import ARCHITECTURES, Wanted
from lab.kind.versions import load

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
BOOT_S = 600
"""Seconds that a guest may take to boot without KVM."""


@told
def main(arguments: Sequence[str]) -> int:
    """0: done; 2: wrong use, a program is missing, or the cluster is somebody else's; 10: a step failed."""
    given = _parser().parse_args(arguments)
    return int(given.do(given))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="virtlab kind", description=__doc__)
    words = parser.add_subparsers(dest="what", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--name", default="virtlab", help="of the cluster (default: %(default)s)")
    shared.add_argument("--engine", choices=tools.ENGINES, default="", help="default: the first that is installed")
    shared.add_argument("--plan", action="store_true", help="print every file, command and wait, and do nothing")
    up = words.add_parser("up", parents=[shared], help="make the cluster, or go on where an earlier up stopped")
    up.add_argument("--workers", type=int, default=3, metavar="N", help="default: %(default)s")
    up.add_argument("--mirror", action="append", default=[], metavar="REGISTRY=HOST[:PORT][/PATH]",
                    help="where images of a registry are instead; may be repeated")  # fmt: skip
    up.add_argument("--no-cables", action="store_true", help="no switch and no spare NICs: the pod network only")
    up.add_argument("--target", type=Path, metavar="FILE", help="where the target file goes (default: NAME.yaml)")
    up.set_defaults(do=_up)
    words.add_parser("down", parents=[shared], help="delete that cluster, and no other").set_defaults(do=_down)
    words.add_parser("images", help="print every image that such a cluster pulls").set_defaults(do=_images)
    return parser


def _wanted(given: argparse.Namespace, workers: int = 1) -> Wanted:
    """Raises UsageError for a name, number or machine that cannot be."""
    if not NAME.fullmatch(given.name):
        raise UsageError("--name: lower case letters, digits and dashes, at most 40", repr(given.name))
    if not 1 <= workers <= 9:
        raise UsageError("--workers: 1 to 9", str(workers), advice="a migration needs 2, the whole suite 3")
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise UsageError(f"one of the machines that kind has nodes for: {', '.join(ARCHITECTURES)}", machine)
    return Wanted(
        given.name, workers, tools.engine(given.engine), ownership.state_folder(given.name), machine, load(),
        _mirrors(getattr(given, "mirror", [])), not getattr(given, "no_cables", False),
    )  # fmt: skip


def _mirrors(words: Sequence[str]) -> dict[str, str]:
    found = {}
    for word in words:
        registry, equals, target = word.partition("=")
        host = target.partition("://")[2] or target
        if not equals or not re.fullmatch(r"[\w.-]+(:\d+)?", registry) or not re.fullmatch(r"[\w.:/-]+", host):
            raise UsageError("--mirror REGISTRY=HOST[:PORT][/PATH]", repr(word), advice="quay.io=mirror.lab:5000/quay")
        found[registry] = target.rstrip("/")
    return found


def _up(given: argparse.Namespace) -> int:
    wanted = _wanted(given, given.workers)
    made = steps.up(wanted)
    target = (given.target or Path(f"{wanted.name}.yaml")).absolute()
    if given.plan:
        print("\n".join([*doing.plan(made), "", f"# then: the target file {target}, from a look at the cluster"]))
        return 0
    tools.require(("kind", "kubectl", "helm", "git", wanted.engine), wanted.versions)
    for remark in filter(None, [tools.check_kind(wanted.versions), *tools.remarks()]):
        print(f"note: {remark}", flush=True)
    tools.check_engine(wanted.engine)
    there = ownership.look(wanted)
    _same_size(wanted, there.nodes)
    if not there.nodes:
        wanted.kubeconfig.unlink(missing_ok=True)
    doing.carry_out(made, wanted.kubeconfig, lambda line: print(line, flush=True))
    write_target(wanted, target)
    return 0


def _same_size(wanted: Wanted, nodes: Sequence[str]) -> None:
    """kind cannot add workers to a cluster. Raises UsageError."""
    have = [node for node in nodes if node != wanted.control]
    if have and wanted.kubeconfig.exists() and sorted(have) != sorted(wanted.worker_names):
        raise UsageError(
            f"a cluster {wanted.name!r} of {wanted.workers} workers",
            f"it has {len(have)}, and kind adds none",
            wanted.engine,
            f"--workers {len(have)}, or virtlab kind down --name {wanted.name} first",
        )


def write_target(wanted: Wanted, target: Path) -> None:
    """Through the code of `target init`; what no look tells is known here."""
    from lab.access.client import Client
    from lab.survey.draft import Known, Where, draft
    from lab.survey.reading import survey
    from lab.survey.targetcli import write

    if target.exists():
        print(f"{target}: kept as it is; remove it for a fresh one")
    else:
        known = Known(
            primary="eth0",
            protected=("breth0", "br-int"),
            bonds=cables.BONDS if wanted.cabled else {},
            vlans=_vlans() if wanted.cabled else (),
            outside=cables.outside(wanted.rack) if wanted.cabled else {},
            boot_s=BOOT_S,
        )
        where = Where(str(wanted.kubeconfig), f"kind-{wanted.name}", wanted.name)
        write(
            target, draft(survey(Client.connect(wanted.kubeconfig)), where, datetime.now(UTC).date().isoformat(), known)
        )
        print(f"{target}: written")
    print(f"next: virtlab doctor --target {target} && virtlab run --target {target}")


def _vlans() -> tuple[dict[str, object], ...]:
    return tuple(
        {
            "id": number,
            "gateway": f"{net}.1",
            "subnet": f"{net}.0/24",
            "pool": f"{net}.20-{net}.99",
            "outside": cables.gateway(number),
        }
        for number, net in cables.VLANS.items()
    )


def _down(given: argparse.Namespace) -> int:
    wanted = _wanted(given)
    if given.plan:
        print("\n".join(doing.plan(steps.down(wanted, switch=True))))
        return 0
    tools.require(("kind", wanted.engine), wanted.versions)
    tools.check_engine(wanted.engine)
    there = ownership.look(wanted)
    if there.nodes or there.switch:
        undo = steps.down(wanted, switch=there.switch)
        doing.carry_out(undo, wanted.kubeconfig, lambda line: print(line, flush=True))
    else:
        print(f"there is no cluster {wanted.name!r}")
    if wanted.state.exists():
        shutil.rmtree(wanted.state)
    return 0


def _images(given: argparse.Namespace) -> int:
    print("\n".join(load().images))
    return 0
