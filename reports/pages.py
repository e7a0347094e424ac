"""Pages about several runs: a comparison, and the site of the last runs. In the report's own dress, and as closed."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from lab.evidence.record import RunRecord, write_atomically
from reports import html, svg, traffic, words
from reports.comparison import LISTS, Comparison, key_of, rate

WIDTH, HEIGHT = 720, 120


def comparison(found: Comparison) -> str:
    """A comparison as a page."""
    tone = {0: "passed", 1: "failed"}.get(found.exit_code, "inconclusive")
    lists = [(label, name, getattr(found, name)) for label, name in LISTS if getattr(found, name)]
    return _page(
        "compare.html", found=found, tone=tone, lists=lists, rate=rate,
        silences=[(s, str(s.shift)) for s in found.silences],
    )  # fmt: skip


def site(records: Sequence[RunRecord], folder: Path) -> Path:
    """The site of these runs (newest first) in *folder*: an index and each run's own report with its evidence.

    Returns the index. Raises OSError.
    """
    for record in records:
        place = folder / "runs" / record.run_id
        place.mkdir(parents=True, exist_ok=True)
        if record.path.is_file():
            shutil.copyfile(record.path, place / "run.json")
        evidence = record.folder / "evidence"
        if evidence.is_dir():
            shutil.copytree(evidence, place / "evidence", dirs_exist_ok=True, ignore=_links)
        text = html.render(record, record.folder / "report.html")
        write_atomically(place / "report.html", text)
    index = folder / "index.html"
    write_atomically(index, _index(records))
    return index


def _links(folder: str, names: list[str]) -> list[str]:
    """What links lead to is somebody else's."""
    return [name for name in names if Path(folder, name).is_symlink()]


def _index(records: Sequence[RunRecord]) -> str:
    oldest = list(reversed(records))
    rows: dict[str, dict[str, str]] = {}
    for record in oldest:
        for scenario in record.scenarios:
            rows.setdefault(key_of(scenario), {})[record.run_id] = words.verdict_of(scenario)
    table = [
        {"name": name, "cells": [(r, found.get(r.run_id, "")) for r in oldest], "rate": rate(list(found.values()))}
        for name, found in rows.items()
    ]
    runs = [{"record": r, "verdict": words.headline(r)[0], "sentence": words.headline(r)[1]} for r in records]
    return _page("site.html", runs=runs, oldest=oldest, table=table, trend=_trend(oldest), length=words.length)


def _trend(oldest: Sequence[RunRecord]) -> Markup | None:
    """The longest silence of each run's migrations, over the runs."""
    values = [
        (record.run_id, max((m.longest_ms for s in record.scenarios for m in traffic.moves(s)), default=None))
        for record in oldest
    ]
    seen = [(index, run, ms) for index, (run, ms) in enumerate(values) if ms is not None]
    if len(seen) < 2:
        return None
    top = max(ms for _, _, ms in seen) or 1.0
    step = (WIDTH - 80) / max(1, len(values) - 1)
    points = [(50 + index * step, HEIGHT - 20 - (HEIGHT - 40) * ms / top) for index, _, ms in seen]
    parts = [svg.text(44, 24, f"{top:.0f} ms", "small dim", "end"), svg.text(44, HEIGHT - 16, "0", "small dim", "end")]
    parts += [svg.line([(50, HEIGHT - 20), (WIDTH - 30, HEIGHT - 20)], "grid"), svg.line(points, "trips")]
    for (x, y), (_, run, ms) in zip(points, seen, strict=True):
        tip = svg.element("title", f"{run}: {ms:.0f} ms")
        parts.append(svg.element("g", tip, svg.element("circle", cx=x, cy=y, r=4, class_="point")))
    return svg.drawing(WIDTH, HEIGHT, "The longest silence of the migrations of each run", parts, "trend")


def _page(template: str, **values: Any) -> str:
    style = html.own("style.css")
    page = html.environment().get_template(template)
    return page.render(style=style, style_hash=html.digest(style), **values)
