"""Why a guest's memory does not get to another worker: what a failed migration says, tried again, judged."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from lab.core.deadline import Deadline
from lab.core.result import CommandResult
from lab.diagnosis import moves
from lab.diagnosis.moves import Connection, Tried, judge, lines, read_failure, read_tried
from lab.probes.packetfilter import Rule

SAID = (
    "Live migration failed: operation failed: unable to connect to server at '192.168.52.11:45915': Connection timed "
    "out (from worker-2 to worker-1)"
)
ASKED = Connection("worker-2", "worker-1", "192.168.52.11", 45915, "Connection timed out")
DROPS = Rule("inet fw", "in", "tcp dport 32768-60999 drop", "drops")
AGAIN = f"""192.168.52.11 dev ens3 src 192.168.52.12 uid 0 \\    cache
{moves.MARK}
PING 192.168.52.11 (192.168.52.11): 56 data bytes

--- 192.168.52.11 ping statistics ---
3 packets transmitted, 3 packets received, 0% packet loss
{moves.MARK}
status 124
192.168.52.11: line 1: connect: Connection refused
status 1
status 0
"""


def test_a_reason_names_the_connection_and_another_one_none() -> None:
    assert read_failure(SAID) == ASKED
    assert read_failure("Target pod is down (from worker-2 to worker-1)") is None


def test_what_was_tried_again_is_read() -> None:
    seen = read_tried(AGAIN)
    assert (seen.answered, seen.attempts) == (3, ("silent", "refused", "connected"))
    assert seen.route.startswith("192.168.52.11 dev ens3 src")
    with pytest.raises(ValueError, match="wanted three parts, found 'no'"):
        read_tried("no")


SILENT = ("silent",) * 3


@pytest.mark.parametrize(
    ("tried", "there", "here", "node", "said"),
    [
        (Tried("", 3, SILENT), (DROPS,), (), "worker-1", "worker-1: its packet filter drops TCP from worker-2 to"),
        (Tried("", 3, SILENT), (), (DROPS,), "worker-2", "worker-2: its packet filter drops"),
        (Tried("", 0, SILENT), (), (), "worker-1", "nothing passes from worker-2 to worker-1"),
        (Tried("", 3, SILENT), (), (), "worker-1", "what is between drops it"),
        (Tried("", 3, ("refused",) * 3), (), (), "", ""),
        (None, (), (), "", ""),
    ],
)
def test_the_place_is_named(
    tried: Tried | None, there: tuple[Rule, ...], here: tuple[Rule, ...], node: str, said: str
) -> None:
    found = judge(ASKED, tried, there, here)
    assert said in found
    assert getattr(found, "node", "") == node


def test_the_path_marks_the_node_whose_filter_loses_it() -> None:
    tried = Tried("192.168.52.11 dev ens3", 3, SILENT)
    shown = lines(ASKED, tried, (DROPS,), (), judge(ASKED, tried, (DROPS,), ()))
    assert shown[0] == (
        "a guest's memory: TCP from worker-2 to 192.168.52.11, port 45915, which failed with 'Connection timed out'"
    )
    assert [line[:4].strip() for line in shown[1:-1]] == ["", "", "", "", "LOST"]
    assert "again: silent, silent, silent" in shown[4]


class Reader:
    """Nodes of which the target's filter drops."""

    def run(self, node: str, argv: Sequence[str], *, deadline: Deadline) -> CommandResult:
        filtered = "table inet fw {\n chain in {\n  tcp dport 32768-60999 drop\n }\n}\n"
        text = AGAIN if moves.TRY in argv else filtered if node == "worker-1" else ""
        return CommandResult(tuple(argv), node, 0, text, "", 0.1)


def test_the_cause_of_a_failed_move_has_worker_error_and_rule() -> None:
    reader: object = Reader()
    assert moves.explain(reader, "vm-a", SAID) == (  # type: ignore[arg-type]
        "VM vm-a cannot move from worker-2 to worker-1 (Connection timed out): worker-1: its packet filter drops TCP "
        "from worker-2 to 192.168.52.11, port 45915: `tcp dport 32768-60999 drop` in chain in of table inet fw"
    )
    assert moves.explain(reader, "vm-a", "Target pod is down (from worker-2 to worker-1)") == ""  # type: ignore[arg-type]
