"""`virtlab compare A B`: what became better or worse between two runs, or two sides of several; a gate for releases."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from lab.core.errors import UsageError
from lab.core.told import told
from lab.evidence.reading import find, load
from lab.evidence.record import RunRecord, write_atomically
from reports import pages, words
from reports.comparison import LISTS, Comparison, Pair, compare, rate
from reports.markdown import cell
from reports.store import Store, default_url
from reports.terminal import clean, headline

EXIT = (
    "exit codes: 0 no worse, 1 worse (a failure that was none, or longer silences), 3 something was not seen any more"
)


@told
def main(arguments: Sequence[str]) -> int:
    """The comparison's exit code; 2: wrong use, 10: the store does not answer."""
    given = _parser().parse_args(arguments)
    found = compare(_side(given.a, given), _side(given.b, given))
    _show(found, given)
    return found.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="virtlab compare", description=__doc__, epilog=EXIT)
    for name, side in (("a", "before"), ("b", "after")):
        parser.add_argument(name, help=f"{side}: a run's id, folder or run.json; several with commas between")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of run folders (default: %(default)s)")
    parser.add_argument("--store", default="", help="store for runs whose folder is gone ($VIRTLAB_STORE)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="for programs")
    form.add_argument("--markdown", action="store_true", help="for a ticket")
    parser.add_argument("--html", type=Path, metavar="FILE", help="also as a page")
    return parser


def _side(text: str, given: argparse.Namespace) -> list[RunRecord]:
    return [_run(name, given) for name in text.split(",") if name]


def _run(name: str, given: argparse.Namespace) -> RunRecord:
    """By its file, and where that is gone from the store."""
    try:
        return load(find(Path(name), given.out))
    except UsageError:
        url = given.store or default_url(given.out)
        if not given.store and url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).is_file():
            raise
        store = Store(url)
        try:
            return store.record(name)
        finally:
            store.close()


def _show(found: Comparison, given: argparse.Namespace) -> None:
    if given.html:
        write_atomically(given.html, pages.comparison(found))
    if given.json:
        print(json.dumps(_document(found), indent=1, ensure_ascii=False))
    elif given.markdown:
        print("\n".join(_markdown(found)))
    else:
        print(clean("\n".join(_lines(found))))


def _document(found: Comparison) -> dict[str, object]:
    body: dict[str, object] = {name: [asdict(p) for p in getattr(found, name)] for _, name in LISTS}
    body["silences"] = [asdict(s) | {"verdict": s.verdict} for s in found.silences]
    body["versions"] = [{"name": n, "before": a, "after": b} for n, a, b in found.versions]
    runs = {"before": [r.run_id for r in found.before], "after": [r.run_id for r in found.after]}
    return {"sentence": found.sentence, "exit_code": found.exit_code, **runs, "passed": found.passed, **body}


def _what(name: str, pair: Pair) -> str:
    if name == "slower":
        return f"{words.duration(pair.seconds[0])} -> {words.duration(pair.seconds[1])}"
    return f"{rate(pair.before)} -> {rate(pair.after)}"


def _lines(found: Comparison) -> Iterator[str]:
    yield found.sentence
    yield f"  before: {', '.join(r.run_id for r in found.before)}"
    yield f"  after:  {', '.join(r.run_id for r in found.after)}"
    yield f"  passed on both sides: {found.passed}"
    for label, name in LISTS:
        for pair in getattr(found, name):
            yield f"{label:<18} {pair.key}  ({_what(name, pair)})"
            if name in {"failing", "unseen"} and pair.reason:
                yield from (f"{'':<18}   {row}" for row in headline(pair.reason, 3).splitlines())
    for one in found.silences:
        yield f"{'silence ' + one.verdict:<18} {one.scenario}, {one.title}: {one.shift}"
    for name, before, after in found.versions:
        yield f"{'version':<18} {name}: {before} -> {after}"


def _markdown(found: Comparison) -> Iterator[str]:
    yield f"## {cell(found.sentence)}"
    yield ""
    before, after = (", ".join(r.run_id for r in side) for side in (found.before, found.after))
    yield f"Before: {cell(before)}. After: {cell(after)}."
    yield f"{found.passed} passed on both sides."
    rows = [(label, p.key, _what(name, p)) for label, name in LISTS for p in getattr(found, name)]
    rows += [(f"silence {s.verdict}", f"{s.scenario}, {s.title}", str(s.shift)) for s in found.silences]
    rows += [("version", name, f"{before} -> {after}") for name, before, after in found.versions]
    if rows:
        yield ""
        yield "| | | before -> after |"
        yield "| --- | --- | --- |"
        yield from ("| " + " | ".join(cell(part) for part in row) + " |" for row in rows)
