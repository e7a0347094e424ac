"""The command reference is what the commands say today."""

from __future__ import annotations

from tests import reference
from tests.conftest import ROOT


def test_the_reference_is_up_to_date() -> None:
    assert (ROOT / "docs/commands.md").read_text(encoding="utf-8") == reference.text(), "type `make docs`"
