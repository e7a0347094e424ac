"""How a run ends: its exit code, and SIGTERM taken for Ctrl-C. For a run of one process and for one of several."""

from __future__ import annotations

from types import FrameType

import pytest

from lab.core.errors import LabError
from lab.evidence.record import RunRecord, Verdict

EXIT_BROKEN = 10
EXIT_NOTHING = int(pytest.ExitCode.NO_TESTS_COLLECTED)


def exit_code(status: int, record: RunRecord) -> int:
    """pytest's own code; 10 when the environment broke and no scenario says anything against the product; 5, pytest's
    code for no tests, when all of them were skipped."""
    verdicts = {s.verdict for s in record.scenarios}
    broken = bool(record.broken) or Verdict.BROKEN in verdicts
    ours = {int(pytest.ExitCode.OK), int(pytest.ExitCode.TESTS_FAILED)}
    if broken and Verdict.FAILED not in verdicts and status in ours:
        return EXIT_BROKEN
    nothing = status == pytest.ExitCode.OK and verdicts <= {Verdict.SKIPPED, ""}
    return EXIT_NOTHING if nothing else status


def finish(record: RunRecord, session: pytest.Session) -> None:
    """Close the record, and make its exit code pytest's."""
    code = exit_code(int(session.exitstatus), record)
    session.exitstatus = code
    record.finish("interrupted" if code == pytest.ExitCode.INTERRUPTED else "finished", code)


def as_interrupt(number: int, frame: FrameType | None) -> None:
    """SIGTERM ends a run as Ctrl-C does: with everything put back."""
    raise KeyboardInterrupt


def said(error: BaseException) -> str:
    """An error as the record keeps it."""
    return str(error) if isinstance(error, LabError) else f"{type(error).__name__}: {error}"
