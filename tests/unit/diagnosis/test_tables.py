"""What kubectl shows, from a Table of the API and from a document, and how the two differ."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from lab.access.kinds import NNCE, NNCP
from lab.access.table import Table, printed, read_table
from lab.diagnosis.tables import compare

FEATURE = Path(__file__).parents[3] / "features" / "localnet_coe" / "localnet_coe.feature"
DOCUMENTED = textwrap.dedent(FEATURE.read_text().split('"""')[1])
WORKERS = ("w1", "w2", "w3")


def answer(columns: list[tuple[str, int]], *rows: list[Any]) -> dict[str, Any]:
    definitions = [{"name": name, "type": "string", "priority": priority} for name, priority in columns]
    return {"kind": "Table", "columnDefinitions": definitions, "rows": [{"cells": cells} for cells in rows]}


def policies(status: str = "Available", reason: str = "SuccessfullyConfigured") -> Table:
    columns = [("Name", 0), ("Status", 0), ("Reason", 0), ("Hidden", 1)]
    return read_table(answer(columns, ["localnet-coe", status, reason, "x"]), NNCP)


def enactments(*workers: str, status: str = "Available", age: str = "1m3s", last: str = "Reason") -> Table:
    columns = [("Name", 0), ("Status", 0), ("Status Age", 0), (last, 0)]
    rows = [[f"{worker}.localnet-coe", status, age, "SuccessfullyConfigured"] for worker in workers]
    return read_table(answer(columns, *rows), NNCE)


def differences(*tables: Table) -> list[str]:
    return compare(tables, printed(DOCUMENTED), "localnet-coe", WORKERS)


def test_a_table_is_shown_as_kubectl_shows_it() -> None:
    assert str(policies()).splitlines() == [
        "NAME                                                     STATUS      REASON",
        "nodenetworkconfigurationpolicy.nmstate.io/localnet-coe   Available   SuccessfullyConfigured",
    ]


def test_what_kubectl_printed_is_read_with_blanks_in_headings() -> None:
    first, second = printed(DOCUMENTED)
    assert first == policies()
    assert second.columns == ("NAME", "STATUS", "STATUS AGE", "REASON")
    assert second.rows[1][2:] == ("9s", "SuccessfullyConfigured")


def test_this_labs_workers_stand_for_the_documented_ones_and_ages_are_any() -> None:
    assert differences(policies(), enactments(*WORKERS)) == []


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        (
            (policies("Progressing", "ConfigurationProgressing"), enactments(*WORKERS)),
            "no row nodenetworkconfigurationpolicy.nmstate.io/localnet-coe Available SuccessfullyConfigured",
        ),
        (
            (policies(), enactments("w1", "w2")),
            "no row nodenetworkconfigurationenactment.nmstate.io/w3.localnet-coe Available AGE SuccessfullyConfigured",
        ),
        (
            (policies(), enactments(*WORKERS, "w4")),
            "a row nodenetworkconfigurationenactment.nmstate.io/w4.localnet-coe Available AGE SuccessfullyConfigured",
        ),
        (
            (policies(), enactments(*WORKERS, last="Message")),
            "wanted the columns NAME, STATUS, STATUS AGE, REASON, found NAME, STATUS, STATUS AGE, MESSAGE",
        ),
        (
            (policies(), enactments(*WORKERS, age="")),
            "a row nodenetworkconfigurationenactment.nmstate.io/w1.localnet-coe",
        ),
    ],
)
def test_each_difference_is_told(tables: tuple[Table, Table], said: str) -> None:
    assert any(found.startswith(said) for found in differences(*tables)), differences(*tables)
