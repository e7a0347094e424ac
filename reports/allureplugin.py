"""allure-pytest's own results, filled from the record before they are written, so that the two cannot disagree."""

from __future__ import annotations

from pathlib import Path

import allure_commons
from allure_commons.model2 import TestResult

from lab.evidence.record import RunRecord, ScenarioRecord
from reports import allure


class Filler:
    """A plugin of Allure's (not of pytest's): it is asked for each result, and answers before the writer does."""

    def __init__(self, record: RunRecord, folder: Path) -> None:
        self._record = record
        self._folder = folder
        self.scenario: ScenarioRecord | None = None
        """The one whose result comes next."""
        allure_commons.plugin_manager.register(self, "virtlab")

    @allure_commons.hookimpl(tryfirst=True)
    def report_result(self, result: TestResult) -> None:
        """Fill one."""
        if self.scenario is not None:
            allure.fill(result, self._record, self.scenario, allure.keeper(self._folder))
            result.historyId = result.testCaseId = allure.identity(self.scenario)
        self.scenario = None

    def end(self, *, results: bool = False) -> None:
        """Environment and categories, with the *results* too if allure-pytest saw none; and no more of it."""
        allure_commons.plugin_manager.unregister(self)
        try:
            (allure.write if results else allure.settings)(self._record, self._folder)
        except OSError:
            # Allure's own writer has failed by then, and said so.
            return
