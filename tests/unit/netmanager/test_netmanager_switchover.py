"""The sequence that runs on a node, run here by a real shell with a stand-in for nmcli: it goes back, or is kept."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.core.deadline import Deadline
from lab.core.errors import ApiDown, CommandFailed, EnvironmentHopeless, EnvironmentTimeout
from lab.core.result import CommandResult
from lab.netmanager.switchover import KEPT, RETURNED, SwitchOver, abandoned, going_back, seconds_between, see_back

NMCLI = """#!/bin/sh
[ "$1 $2 $3" = "con up Wired connection 1" ] && [ -e "$STAGE/deaf" ] && { echo "Error: no lease" >&2; exit 4; }
[ "$1" = hang ] && exec sleep 60
[ "$2 $3" = "delete gone" ] && { echo "Error: unknown connection 'gone'." >&2; exit 10; }
for word; do printf '%s|' "$word"; done >>"$STAGE/said"; echo >>"$STAGE/said"
"""
SLEEP = '#!/bin/sh\nexec /bin/sleep "$(echo "$1" | sed s/^5$/0.1/)"\n'
FORWARD = (("nmcli", "con", "down", "Wired connection 1"), ("nmcli", "con", "up", "br1"))
WIRED = ("nmcli", "con", "up", "Wired connection 1")


class HereShell:
    """Runs on this machine, with the stand-in first on PATH; its long sleeps are short."""

    place = "here"

    def __init__(self, folder: Path) -> None:
        (folder / "bin").mkdir()
        for name, text in {"nmcli": NMCLI, "sleep": SLEEP}.items():
            (folder / "bin" / name).write_text(text)
            (folder / "bin" / name).chmod(0o755)
        self.env = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "STAGE": str(folder)}
        self.stage = folder

    def run(self, argv: Sequence[str], *, deadline: Deadline) -> CommandResult:
        done = subprocess.run(
            list(argv), env=self.env, capture_output=True, text=True, timeout=deadline.remaining(), check=False
        )
        return CommandResult(tuple(argv), self.place, done.returncode, done.stdout, done.stderr, 0.0)

    def close(self) -> None:
        return

    def said(self) -> list[str]:
        path = self.stage / "said"
        return [line.rstrip("|") for line in path.read_text().splitlines()] if path.exists() else []


def soon() -> Deadline:
    return Deadline.after(20)


class Scene:
    def __init__(self, folder: Path) -> None:
        self.shell = HereShell(folder)
        self.switch = SwitchOver(self.shell, str(folder / "run"))

    def begin(self, patience_s: int, forward: Sequence[tuple[str, ...]] = FORWARD) -> None:
        back, up = going_back("br1", "bridge-slave-ens3", "Wired connection 1")
        self.switch.install(forward, back, up, soon())
        self.switch.start(patience_s, soon())

    def until(self, wanted: str, seconds: float = 10.0) -> None:
        end = time.monotonic() + seconds
        while self.switch.state(soon()) != wanted:
            assert time.monotonic() < end, self.switch.log(soon())
            time.sleep(0.05)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_without_a_word_it_goes_back_by_itself(scene: Scene) -> None:
    scene.begin(1)
    scene.until(RETURNED)
    assert scene.shell.said() == [
        "con|down|Wired connection 1",
        "con|up|br1",
        "con|mod|Wired connection 1|connection.autoconnect|yes",
        "con|down|br1",
        "con|delete|br1",
        "con|delete|bridge-slave-ens3",
        "con|up|Wired connection 1",
    ]
    took = seconds_between(scene.switch.log(soon()), "no word within 1 s", RETURNED)
    assert took is not None
    assert took <= 5


def test_with_a_word_it_stays_until_it_is_taken_back(scene: Scene) -> None:
    scene.begin(20)
    scene.switch.keep(soon())
    scene.until(KEPT)
    assert scene.shell.said() == ["con|down|Wired connection 1", "con|up|br1"]
    scene.switch.take_back(soon())
    scene.until(RETURNED)
    assert scene.shell.said()[-1] == "con|up|Wired connection 1"
    assert "no word" not in scene.switch.log(soon())
    scene.switch.remove(soon())
    assert not Path(scene.switch.folder).exists()


def test_a_command_that_hangs_does_not_keep_it_from_going_back(scene: Scene) -> None:
    scene.begin(1, (("nmcli", "hang"), ("nmcli", "con", "up", "br1")))
    scene.until(RETURNED)
    assert "con|up|br1" not in scene.shell.said()


def test_one_that_was_never_started_is_taken_back_all_the_same(scene: Scene) -> None:
    back, up = going_back("br1", "gone", "Wired connection 1")
    scene.switch.install(FORWARD, back, up, soon())
    scene.switch.take_back(soon())
    scene.until(RETURNED)
    assert scene.shell.said()[0] == "con|mod|Wired connection 1|connection.autoconnect|yes"
    assert "unknown connection 'gone'" in scene.switch.log(soon())


def test_one_whose_sequence_was_killed_is_taken_back_by_another(scene: Scene) -> None:
    scene.begin(20)
    scene.until("switching")
    os.kill(int((Path(scene.switch.folder) / "pid").read_text()), 9)
    scene.switch.take_back(soon())
    scene.until(RETURNED)


def test_a_shell_that_ended_is_asked_for_anew_until_one_answers(scene: Scene) -> None:
    scene.begin(20)
    scene.until("switching")
    os.kill(int((Path(scene.switch.folder) / "pid").read_text()), 9)
    alive, tries = scene.shell.run, []

    def ended(argv: Sequence[str], *, deadline: Deadline) -> CommandResult:
        raise CommandFailed(CommandResult(tuple(argv), "here", 1, "", "container not found", 0.0))

    def revive(deadline: Deadline) -> None:
        tries.append(deadline.remaining())
        if len(tries) == 3:
            scene.shell.run = alive  # type: ignore[method-assign]

    scene.shell.run = ended  # type: ignore[method-assign]
    see_back(scene.switch, "w1", "back", deadline=soon(), advice="", revive=revive)
    assert len(tries) == 3
    assert scene.shell.said()[-1] == "con|up|Wired connection 1"


def test_a_sequence_killed_on_its_way_back_is_started_again(scene: Scene) -> None:
    (scene.shell.stage / "deaf").touch()
    scene.begin(1)
    scene.until("returning")
    run, looks = scene.shell.run, []

    def node_goes_down(argv: Sequence[str], *, deadline: Deadline) -> CommandResult:
        if argv[0] == "cat":
            looks.append(argv)
            if len(looks) == 2:
                os.kill(int((Path(scene.switch.folder) / "pid").read_text()), 9)
                (scene.shell.stage / "deaf").unlink()
                raise CommandFailed(CommandResult(tuple(argv), "here", 1, "", "container not found", 0.0))
        return run(argv, deadline=deadline)

    scene.shell.run = node_goes_down  # type: ignore[method-assign]
    see_back(scene.switch, "w1", "back", deadline=soon(), advice="")
    assert len(looks) > 2


def test_a_cluster_that_is_gone_is_not_waited_for(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.netmanager.switchover.GONE_S", 0.5)
    scene.begin(20)

    def gone(*_: object, **__: object) -> Any:
        raise ApiDown("an answer of the API server", "refused")

    scene.shell.run = gone  # type: ignore[method-assign]
    with pytest.raises(EnvironmentHopeless, match="no API server to ask by"):
        see_back(scene.switch, "w1", "back", deadline=Deadline.after(60), advice="", revive=gone)
    with pytest.raises(EnvironmentTimeout, match="no shell there"):
        see_back(scene.switch, "w1", "back", deadline=Deadline.after(2), advice="")


def test_it_does_not_give_up_while_the_old_connection_does_not_come_up(scene: Scene) -> None:
    (scene.shell.stage / "deaf").touch()
    scene.begin(1)
    scene.until("returning")
    time.sleep(0.5)
    assert scene.switch.state(soon()) == "returning"
    assert scene.switch.log(soon()).count("Error: no lease") >= 1
    (scene.shell.stage / "deaf").unlink()
    scene.until(RETURNED)


def test_a_profile_may_have_any_name(scene: Scene) -> None:
    name = "-x $(touch /tmp/virtlab-injected) a'b; `touch /tmp/virtlab-injected` \"ä"
    back, up = going_back("br1", "s", name)
    scene.switch.install((("nmcli", "con", "down", name),), back, up, soon())
    scene.switch.start(1, soon())
    scene.until(RETURNED)
    assert scene.shell.said()[0] == f"con|down|{name}"
    assert scene.shell.said()[-1] == f"con|up|{name}"
    assert not Path("/tmp/virtlab-injected").exists()


def test_a_node_that_takes_no_files_is_said(scene: Scene) -> None:
    switch = SwitchOver(scene.shell, "/proc/no/such")
    with pytest.raises(CommandFailed, match="wanted: the switch-over prepared on here"):
        switch.install(FORWARD, FORWARD, WIRED, soon())


def test_seconds_between_states() -> None:
    log = "100 switching\n+ nmcli con down x\n108 no word within 8 s\n108 returning\n111 returned\n"
    assert seconds_between(log, "no word within 8 s", "returned") == 3
    assert seconds_between(log, "kept", "returned") is None


def test_what_nobody_takes_back_any_more_is_found_and_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.netmanager.switchover.FOLDERS", str(tmp_path / "virtlab-nmcli"))
    shell = HereShell(tmp_path)
    assert not abandoned(shell, "w1", soon())
    back, up = going_back("br1", "bridge-slave-ens3", "Wired connection 1")
    prepared = SwitchOver(shell, str(tmp_path / "virtlab-nmcli-aaaaa"))
    prepared.install(FORWARD, back, up, soon())
    (tmp_path / "virtlab-nmcli-bbbbb").mkdir()
    (tmp_path / "virtlab-nmcli-bbbbb" / "script").write_text("cut short")
    assert abandoned(shell, "w1", soon())
    assert shell.said() == [
        "con|mod|Wired connection 1|connection.autoconnect|yes",
        "con|down|br1",
        "con|delete|br1",
        "con|delete|bridge-slave-ens3",
        "con|up|Wired connection 1",
    ]
    assert list(tmp_path.glob("virtlab-nmcli-*")) == []
    kept = SwitchOver(shell, str(tmp_path / "virtlab-nmcli-ccccc"))
    kept.install(FORWARD, back, up, soon())
    kept.start(30, soon())
    assert abandoned(shell, "w1", soon())
    assert shell.said()[-1] == "con|up|Wired connection 1"
    assert not abandoned(shell, "w1", soon())


def test_what_does_not_come_back_is_told_with_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.netmanager.switchover.FOLDERS", str(tmp_path / "virtlab-nmcli"))
    shell = HereShell(tmp_path)
    (tmp_path / "deaf").touch()
    back, up = going_back("br1", "bridge-slave-ens3", "Wired connection 1")
    change = SwitchOver(shell, str(tmp_path / "virtlab-nmcli-aaaaa"))
    change.install(FORWARD, back, up, soon())
    with pytest.raises(EnvironmentTimeout, match="back as it was before it was changed by hand") as raised:
        abandoned(shell, "w1", Deadline.after(1.5))
    assert f"on its console: sh {change.folder}/back; sh {change.folder}/up" in str(raised.value)
    (tmp_path / "deaf").unlink()
    assert abandoned(shell, "w1", soon())
