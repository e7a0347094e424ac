"""A bridge made by hand: when the word is given, what is said when not, and the way back in every state."""

from __future__ import annotations

import pytest
from byhandworld import BEFORE, OVER_BRIDGE, PORT, UUID, World

from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentBroken, Inconclusive, LabError, ProductFailure, ToolMissing, UsageError
from lab.diagnosis import byhand as judge
from lab.topology.byhand import HandMadeBridge


@pytest.fixture
def world() -> World:
    return World()


def test_the_word_is_given_once_the_worker_answers_over_the_bridge(world: World) -> None:
    world.worker.starts_over_bridge = True
    made = world.made()
    assert made.trouble is None
    assert world.settled == 1
    assert world.undo.pending == ("br1 of worker-1, made by nmcli",)
    judge.answers(made)
    judge.ready(made)
    typed = [line for line in world.worker.ran if line.startswith("nmcli con")]
    assert typed == ["nmcli con show --active", "nmcli con add type", "nmcli con add type", "nmcli con modify br1"]


def test_without_its_port_one_command_is_left_out(world: World) -> None:
    world.worker.starts_over_bridge = True
    world.made(port=False)
    assert [line for line in world.worker.ran if line.startswith("nmcli con add")] == ["nmcli con add type"]


def test_a_green_nmcli_without_packets_gets_no_word(world: World) -> None:
    world.worker.starts_over_bridge, world.worker.answers = True, False
    made = world.made()
    assert made.dark is not None
    with pytest.raises(ProductFailure) as raised:
        judge.answers(made)
    text = str(raised.value)
    assert "wanted: worker-1 to answer over br1 within 1 s of `nmcli con down 'Wired connection 1'`" in text
    assert "192.168.52.11 from worker-2: 0 of 2 answered; it had no word to keep br1 and so goes back by itself" in text
    assert "100 switching" in text
    assert world.worker.states == ["switching"]


def test_packets_over_the_old_connection_get_no_word(world: World) -> None:
    made = world.made()
    assert made.dark is None
    with pytest.raises(ProductFailure, match="br1 is on no device, Wired connection 1 on ens3"):
        judge.answers(made)


def test_packets_without_a_heartbeat_get_no_word(world: World) -> None:
    world.worker.starts_over_bridge, world.worker.beats = True, False
    with pytest.raises(ProductFailure, match="last at t0; it had no word to keep br1"):
        judge.answers(world.made())


def test_a_word_that_comes_too_late_is_none(world: World) -> None:
    world.worker.starts_over_bridge = True
    world.worker.states = ["returning", "returned"]
    with pytest.raises(ProductFailure, match="it is returning; it had no word"):
        judge.answers(world.made())


def test_a_worker_that_falls_silent_after_the_word(world: World) -> None:
    world.worker.starts_over_bridge = True
    made = world.made()
    world.worker.answers = False
    with pytest.raises(ProductFailure, match=r"(?s)worker-1 to answer over br1\nfound: 0 of 3 answered"):
        judge.answers(made)


def test_a_worker_that_is_not_ready(world: World) -> None:
    made = world.bridge()
    world.client.ready = {"type": "Ready", "status": "Unknown", "message": "Kubelet stopped posting node status."}
    with pytest.raises(ProductFailure, match=r"(?s)worker-1 Ready\nfound: Unknown: Kubelet stopped posting"):
        judge.ready(made)


@pytest.fixture
def dark(world: World) -> HandMadeBridge:
    """A worker that lost its network and is about to be back."""
    world.worker.answers = False
    made = world.made()
    world.worker.answers = True
    world.worker.states = ["returning", "returned"]
    world.worker.log = "100 switching\n101 no word within 1 s\n101 returning\n103 returned\n"
    return made


def test_a_worker_that_goes_back_in_time(dark: HandMadeBridge) -> None:
    judge.went_back(dark, 5)
    judge.as_before(dark)


def test_a_worker_that_takes_too_long_by_its_own_clock(dark: HandMadeBridge) -> None:
    with pytest.raises(ProductFailure, match=r"no word for 1 s\nfound: by its own clock it took 2 s"):
        judge.went_back(dark, 1)


def test_a_worker_that_went_back_for_another_reason(dark: HandMadeBridge, world: World) -> None:
    world.worker.log = "100 switching\n101 kept\n103 returned\n"
    with pytest.raises(ProductFailure, match="it does not say that it had no word"):
        judge.went_back(dark, 5)


def test_a_worker_that_stays_silent(dark: HandMadeBridge, world: World) -> None:
    world.worker.answers = False
    with pytest.raises(ProductFailure, match=r"(?s)worker-1 back by itself 1 s after .* from worker-2: 0 of 2"):
        judge.went_back(dark, 1)


def test_a_switch_over_that_cost_nothing_proves_nothing(world: World) -> None:
    with pytest.raises(Inconclusive, match="packets to it were answered all the time"):
        judge.went_back(world.made(), 5)


def test_one_that_answered_over_the_bridge_has_nothing_to_go_back_from(world: World) -> None:
    world.worker.starts_over_bridge = True
    made = world.made()
    made.dark = made.ping()
    with pytest.raises(Inconclusive, match="it answered over the bridge"):
        judge.went_back(made, 5)


def test_what_is_not_as_before_is_told(world: World) -> None:
    made = world.bridge()
    world.worker.profiles = OVER_BRIDGE
    world.worker.port = PORT.replace("state UP", "master br1 state UP").split("    inet ")[0]
    with pytest.raises(ProductFailure) as raised:
        judge.as_before(made)
    for part in (
        "the profile br1 (bridge) is on br1 now",
        "the profile Wired connection 1 (ethernet) is not on ens3",
        "master of ens3 was none, is br1",
        "address of ens3 was 192.168.52.11/24, is none",
    ):
        assert part in str(raised.value)


def test_what_is_not_as_documented_is_told(world: World) -> None:
    made = world.bridge()
    shown = made.documented.shown
    made.shown = lambda: shown  # type: ignore[method-assign]
    with pytest.raises(ProductFailure, match=r"the documentation shows\nfound: br1 has 192\.168\.52\.13/24, not"):
        judge.as_documented(made)


def test_the_way_back_waits_until_the_worker_is_back(world: World) -> None:
    world.worker.starts_over_bridge = True
    world.made()
    world.worker.states = ["kept", "returning", "returned"]
    assert world.undo.unwind(20) == []
    assert world.worker.ran[-1].startswith("rm -rf /run/virtlab-nmcli")


def test_nothing_is_taken_back_before_anything_was_made(world: World) -> None:
    made = world.bridge()
    asked = list(world.worker.ran)
    made.take_back(Deadline.after(5))
    assert world.worker.ran == asked


def test_a_worker_that_does_not_go_back_is_a_broken_environment(world: World) -> None:
    world.worker.starts_over_bridge = True
    made = world.made()
    world.worker.states = ["lost"]
    with pytest.raises(EnvironmentBroken) as raised:
        made.take_back(Deadline.after(1))
    assert "last seen: it is lost" in str(raised.value)
    assert "try: on its console: nmcli con delete br1; nmcli con up 'Wired connection 1'" in str(raised.value)


@pytest.mark.parametrize(
    ("profiles", "port", "parts"),
    [
        ("", PORT, ["a profile of NetworkManager that ens3 of worker-1 is up with", "its profiles are: none"]),
        (BEFORE.replace("ens3", ""), PORT, ["Wired connection 1 (ethernet, on no device)", "is nics.bridges right"]),
        (BEFORE, PORT.replace("state UP", "master br-ex state UP"), ["nobody's bridge", "ens3 is a port of br-ex"]),
        (f"{BEFORE}br1:{UUID}:bridge:\n", PORT, ["br1 (bridge, on no device)", "goes back by itself within minutes"]),
    ],
)
def test_a_main_interface_that_is_not_free(world: World, profiles: str, port: str, parts: list[str]) -> None:
    world.worker.profiles, world.worker.port = profiles, port
    with pytest.raises(EnvironmentBroken) as raised:
        world.bridge()
    assert [part for part in parts if part not in str(raised.value)] == []


def test_a_worker_without_an_address(world: World) -> None:
    world.client.addresses = []
    with pytest.raises(UsageError, match="an InternalIP of worker-1"):
        world.bridge()


def test_a_worker_without_networkmanager(world: World) -> None:
    world.worker.missing = True
    with pytest.raises(ToolMissing) as raised:
        world.bridge()
    assert "wanted: nmcli on the node" in str(raised.value)
    assert "try: nodes without NetworkManager cannot run this; on the embedded lab: virtlab fetch" in str(raised.value)


@pytest.mark.parametrize(("told", "kind"), [("Warning: nmcli and NetworkManager versions differ\n", Inconclusive)])
def test_an_answer_that_cannot_be_read(world: World, told: str, kind: type[LabError]) -> None:
    world.worker.profiles = told
    with pytest.raises(kind, match="an answer of nmcli that can be read"):
        world.bridge()
