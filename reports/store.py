"""The store of runs: one SQLite file by default, any database by its SQLAlchemy URL. It holds whole records.

A run's own file stays the truth: a store that cannot be written (read-only, full, locked, gone) is said clearly and
loses nothing; `virtlab history --add` puts the run in later.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    delete,
    insert,
    select,
)
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from lab.core.errors import LabError, UsageError
from lab.evidence.reading import parse
from lab.evidence.record import RunRecord
from reports import words

LOCKED_S = 10.0
_tables = MetaData()
RUNS = Table(
    "virtlab_runs",
    _tables,
    Column("run_id", String(80), primary_key=True),
    Column("started", String(30), nullable=False, index=True),
    Column("target", String(200), nullable=False),
    Column("verdict", String(20), nullable=False),
    Column("state", String(20), nullable=False),
    Column("seconds", Float, nullable=False),
    Column("folder", Text, nullable=False),
    Column("record", LargeBinary, nullable=False),
)
SCENARIOS = Table(
    "virtlab_scenarios",
    _tables,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run_id", String(80), ForeignKey("virtlab_runs.run_id", ondelete="CASCADE"), nullable=False),
    Column("feature", String(200), nullable=False),
    Column("name", Text, nullable=False),
    Column("verdict", String(20), nullable=False),
    Column("seconds", Float, nullable=False),
    Index("virtlab_scenarios_run", "run_id"),
)


class StoreFailed(LabError):
    """The store could not be read or written; the run's own file is untouched."""


@dataclass(frozen=True)
class Entry:
    """One run in the list."""

    run_id: str
    started: str
    target: str
    verdict: str
    state: str
    seconds: float
    folder: str


def default_url(out: Path) -> str:
    """``$VIRTLAB_STORE``, or a file beside the runs."""
    return os.environ.get("VIRTLAB_STORE") or f"sqlite:///{out / 'history.db'}"


class Store:
    """One database. Raises StoreFailed, with what the database said."""

    def __init__(self, url: str) -> None:
        """Raises UsageError for a URL that is none, or whose driver is not installed."""
        try:
            self._engine: Engine = create_engine(url, connect_args=_arguments(url))
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            raise UsageError(
                "the URL of a database, as SQLAlchemy writes it",
                f"{_shown(url)!r} ({error})",
                "--store",
                "sqlite:///out/history.db, or postgresql+psycopg://user@host/name with `pip install psycopg`",
            ) from error
        self.name = _shown(url)
        if self._engine.dialect.name == "sqlite" and self._engine.url.database:
            # A first run's folder; a longer way that is missing is rather a slip of the pen.
            with suppress(OSError):
                Path(self._engine.url.database).parent.mkdir()

    def add(self, record: RunRecord) -> None:
        """Keep a run; one that is there already is replaced."""
        row = {
            "run_id": record.run_id,
            "started": record.started,
            "target": str(record.target.get("name", "")),
            "verdict": words.headline(record)[0],
            "state": record.state,
            "seconds": words.length(record),
            "folder": str(record.folder),
            "record": zlib.compress(json.dumps(record.document(), ensure_ascii=False).encode()),
        }
        scenarios = [
            {
                "run_id": record.run_id,
                "feature": s.feature,
                "name": s.name,
                "verdict": words.verdict_of(s),
                "seconds": s.seconds,
            }
            for s in record.scenarios
        ]
        with self._begun("to keep the run") as connection:
            _tables.create_all(connection)
            connection.execute(delete(SCENARIOS).where(SCENARIOS.c.run_id == record.run_id))
            connection.execute(delete(RUNS).where(RUNS.c.run_id == record.run_id))
            connection.execute(insert(RUNS), [row])
            if scenarios:
                connection.execute(insert(SCENARIOS), scenarios)

    def runs(self, last: int = 20, target: str = "") -> list[Entry]:
        """The last runs, newest first."""
        columns = [RUNS.c[name] for name in Entry.__dataclass_fields__]
        wanted = select(*columns).order_by(RUNS.c.started.desc(), RUNS.c.run_id.desc()).limit(last)
        if target:
            wanted = wanted.where(RUNS.c.target == target)
        with self._begun("to list runs") as connection:
            _tables.create_all(connection)
            return [Entry(*row) for row in connection.execute(wanted)]

    def verdicts(self, run_ids: Sequence[str]) -> dict[tuple[str, str], list[str]]:
        """(feature, scenario) -> its verdicts in these runs, oldest run first."""
        wanted = (
            select(SCENARIOS.c.feature, SCENARIOS.c.name, SCENARIOS.c.verdict)
            .join(RUNS, RUNS.c.run_id == SCENARIOS.c.run_id)
            .where(SCENARIOS.c.run_id.in_(run_ids))
            .order_by(RUNS.c.started, SCENARIOS.c.id)
        )
        found: dict[tuple[str, str], list[str]] = {}
        with self._begun("to read scenarios") as connection:
            for feature, name, verdict in connection.execute(wanted):
                found.setdefault((feature, name), []).append(verdict)
        return found

    def record(self, run_id: str) -> RunRecord:
        """A whole run. Raises UsageError for one that is not there."""
        with self._begun("to read a run") as connection:
            _tables.create_all(connection)
            row = connection.execute(select(RUNS.c.record, RUNS.c.folder).where(RUNS.c.run_id == run_id)).first()
        if row is None:
            known = ", ".join(entry.run_id for entry in self.runs(5)) or "none"
            raise UsageError(f"the run {run_id}", f"{self.name} has not; its last runs: {known}")
        return parse(zlib.decompress(row[0]).decode(), Path(row[1], "run.json"))

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    @contextmanager
    def _begun(self, why: str) -> Iterator[Any]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            said = str(getattr(error, "orig", None) or error).strip().splitlines()
            raise StoreFailed(
                f"the store {why}",
                said[0] if said else type(error).__name__,
                self.name,
                "the run's own file has it all; later: virtlab history --add RUN",
            ) from error


def _arguments(url: str) -> dict[str, Any]:
    return {"timeout": LOCKED_S} if url.startswith("sqlite") else {}


def _shown(url: str) -> str:
    """The URL without its password."""
    scheme, mark, rest = url.partition("://")
    login, at, place = rest.rpartition("@")
    return f"{scheme}{mark}{login.partition(':')[0]}{at}{place}" if at else url
