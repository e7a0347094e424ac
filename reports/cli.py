"""`virtlab report`: every report again, from the record of a run and nothing else."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.core.errors import UsageError
from lab.core.told import told
from lab.evidence.reading import FILE, find, load
from lab.evidence.record import RunRecord, write_atomically

HELP = "draw a run's reports again: virtlab report RUN [--html | --junit | --markdown | --json | --allure DIR ...]"
PLACES = {"html": "report.html", "junit": "junit.xml", "markdown": "report.md"}


@told
def main(arguments: Sequence[str]) -> int:
    """0: drawn; 2: no such run, or a place that cannot be written; 10: a store does not take it."""
    given = _parser().parse_args(arguments)
    return _report(given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="virtlab report", description=HELP)
    parser.add_argument("run", nargs="?", default="latest", help="a run's id, folder or run.json (default: the latest)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of run folders (default: %(default)s)")
    for name, place in PLACES.items():
        parser.add_argument(
            f"--{name}", nargs="?", const="", metavar="FILE", help=f"(default: {place} beside the record; -: print)"
        )
    parser.add_argument("--json", action="store_true", help="print the record as the present schema has it")
    parser.add_argument("--site", type=Path, metavar="DIR", help="a site of the last runs, for nightly use, into DIR")
    parser.add_argument("--last", type=int, default=20, metavar="N", help="runs of the site (default: %(default)s)")
    parser.add_argument("--allure", type=Path, metavar="DIR", help="write results for `allure generate` into DIR")
    parser.add_argument(
        "--upload", default="", metavar="URL", help="put the run's folder to s3://BUCKET/PREFIX?endpoint=URL"
    )
    return parser


def _site(given: argparse.Namespace) -> int:
    """Of the newest runs that can be read; the others are named."""
    from reports import pages

    paths = sorted(given.out.glob(f"*/{FILE}"), key=lambda path: path.stat().st_mtime, reverse=True)
    records = []
    for path in paths[: given.last]:
        try:
            records.append(load(path))
        except UsageError as error:
            print(f"left out: {error.headline}", file=sys.stderr)
    records.sort(key=lambda record: record.started, reverse=True)
    print(f"site: {pages.site(records, given.site)} ({len(records)} runs)")
    return 0


def _report(given: argparse.Namespace) -> int:
    if given.site is not None:
        return _site(given)
    record = load(find(Path(given.run), given.out))
    if given.json:
        import json

        print(json.dumps(record.document(), ensure_ascii=False, indent=2))
    chosen = {name: getattr(given, name) for name in PLACES if getattr(given, name) is not None}
    if given.allure is not None:
        from reports import allure

        print(f"allure: {allure.write(record, given.allure)} results in {given.allure}")
    if not chosen and not given.json and given.allure is None and not given.upload:
        from reports.terminal import Terminal

        Terminal(sys.stdout).summary(record)
        chosen = dict.fromkeys(PLACES, "")
    for name, place in chosen.items():
        if place == "-":
            sys.stdout.write(_renderer(name)(record, None))
            continue
        print(f"{name}: {write(record, name, Path(place) if place else None)}")
    if given.upload:
        from reports import upload

        more = {"allure": given.allure} if given.allure is not None else None
        print(f"uploaded: {upload.run(record.folder, record.run_id, given.upload, more)}")
    return 0


def write(record: RunRecord, name: str, place: Path | None = None) -> Path:
    """Write one report, by default beside the record; returns where. Raises OSError."""
    place = place or record.folder / PLACES[name]
    write_atomically(place, _renderer(name)(record, place))
    return place


def _renderer(name: str) -> Callable[[RunRecord, Path | None], str]:
    """Imports wait until they are needed: a run that draws nothing pays for nothing."""
    if name == "html":
        from reports import html

        return html.render
    if name == "junit":
        from reports import junit

        return lambda record, _: junit.render(record)
    from reports import markdown

    return lambda record, _: markdown.render(record)
