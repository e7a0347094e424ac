"""`virtlab target`: write a target file from a look at the cluster, check one, print the schema."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from lab.core.errors import UsageError
from lab.core.names import dns_label
from lab.core.told import told


@told
def main(arguments: Sequence[str]) -> int:
    """0: done, or nothing wrong; 1: the cluster is not as the file says; 2: wrong use or file; 10: no answer."""
    given = _parser().parse_args(arguments)
    return int(given.do(given))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="virtlab target", description=__doc__)
    words = parser.add_subparsers(dest="what", required=True)
    init = words.add_parser("init", help="write a target file from a look at a cluster; it changes nothing there")
    init.add_argument("--kubeconfig", default="", metavar="FILE", help="default: $KUBECONFIG, ~/.kube/config")
    init.add_argument("--context", default="", help="a context of it; default: the current one")
    init.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to write it; default: standard output")
    init.add_argument("--force", action="store_true", help="replace FILE")
    init.set_defaults(do=_init)
    check = words.add_parser("check", help="is the file right, and is the cluster as it says?")
    check.add_argument("file", type=Path, metavar="FILE")
    check.add_argument("--offline", action="store_true", help="only the file")
    check.add_argument("--json", action="store_true", help="for programs")
    check.set_defaults(do=_check)
    words.add_parser("schema", help="print the JSON Schema of target files").set_defaults(do=_schema)
    return parser


def _schema(given: argparse.Namespace) -> int:
    from lab.target.form import schema

    print(json.dumps(schema(), indent=1))
    return 0


def _init(given: argparse.Namespace) -> int:
    from lab.access import kubeconfig
    from lab.access.client import Client
    from lab.survey.draft import Where, draft
    from lab.survey.reading import survey

    if given.output and given.output.exists() and not given.force:
        raise UsageError("a file that is not there yet", "it exists", str(given.output), "another name, or --force")
    named = Path(given.kubeconfig).expanduser() if given.kubeconfig else None
    client = Client.connect(named, given.context)
    path = (named or kubeconfig.default_path() or Path()).absolute()
    context = given.context or kubeconfig.current_context(path)
    name = given.output.stem if given.output else dns_label(context)
    text = draft(survey(client), Where(str(path), context, name), datetime.now(UTC).date().isoformat())
    if given.output is None:
        print(text, end="")
        return 0
    write(given.output, text)
    todo = sum("FILL IN" in line for line in text.splitlines())
    print(f"{given.output}: written; {todo} lines begin with FILL IN and are yours")
    print(f"next: virtlab target check {given.output}")
    return 0


def write(path: Path, text: str) -> None:
    """A target file, for its owner alone: it has a login. Raises UsageError: no place for it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(handle, 0o600)
            file.write(text)
    except OSError as error:
        raise UsageError("a place to write a target file", error.strerror or str(error), str(path)) from error


def _check(given: argparse.Namespace) -> int:
    from lab.survey.findings import code, document, lines
    from lab.survey.preflight import of_file
    from lab.target.inventory import load

    target = load(given.file)
    findings = [] if given.offline else of_file(target)
    if given.json:
        print(json.dumps({"file": str(given.file), "findings": document(findings)}, indent=1))
        return code(findings)
    print(f"{given.file}: form and meaning are right" + ("; no cluster was asked" if given.offline else ""))
    for line in lines(findings):
        print(line)
    return code(findings)
