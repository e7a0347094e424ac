"""What `up` gives the lab's processes, without a lab."""

from __future__ import annotations

import pytest

from lab.embedded.lifecycle import up

PROBE = "VIRTLAB_NMSTATE_PROBE_SECONDS"


def test_the_callers_setting_wins_over_the_labs_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROBE, "40")
    assert PROBE not in up.environment({})


def test_the_lab_has_a_default_where_the_caller_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PROBE, raising=False)
    made = up.environment({"PATH": "/tools"})
    assert made[PROBE] == "15"
    assert made["PATH"] == "/tools"
