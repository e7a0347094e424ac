"""The embedded lab's command line without a lab: what each wrong word is answered with, and which words go where."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.embedded import cli
from lab.embedded.lifecycle.layout import Layout

FACTS = {"pid": 4711, "port": 1, "seconds": 1.0, "workers": 2, "nmstate": "0.86",
         "outside_hosts": ["outside", "gateway-2024"]}  # fmt: skip


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "st ate"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(cli, "DEFAULT_NAME", "one")
    return tmp_path / "st ate"


class Running:
    """A lab whose supervisor is played by this process: it holds the lock."""

    def __init__(self, name: str, facts: dict[str, Any]) -> None:
        self.layout = Layout(name)
        self.layout.make()
        self.facts(facts)
        self.layout.nodes.write_text(json.dumps({"worker-1": 20, "worker-2": 30}))
        fd = self.layout.take_lock()
        assert fd is not None
        self.fd = fd

    def facts(self, facts: dict[str, Any]) -> None:
        self.layout.facts.write_text(json.dumps({"kubeconfig": str(self.layout.kubeconfig), **facts}))


@pytest.fixture
def running(state: Path) -> Iterator[Running]:
    lab = Running("one", FACTS)
    yield lab
    os.close(lab.fd)


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the command would have become."""
    seen: list[list[str]] = []
    monkeypatch.setattr(os, "execvpe", lambda file, argv, env: seen.append(argv))
    return seen


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Exit code and standard error of a command."""
    try:
        code = cli.main(words)
    except SystemExit as end:
        code = int(end.code or 0)
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "parts"),
    [
        (["up", "--name", "Bad Name"], 2, ["1-20 lower-case letters", "'Bad Name'", "--name or $VIRTLAB_NAME", "try:"]),
        (["down", "--name", "../x"], 2, ["wanted a lab name", "'../x'"]),
        (["kubeconfig", "--name", "-x"], 2, ["--name", "expected one argument"]),
        (["status", "--name", ""], 2, ["wanted a lab name", "''"]),
        (["up", "--workers", "0"], 2, ["wanted 1 to 9 workers: 0 (--workers)", "try: --workers 3"]),
        (["up", "--workers", "99"], 2, ["wanted 1 to 9 workers: 99"]),
        (["up", "--workers", "x"], 2, ["--workers: wanted a number from 1 to 9, found 'x'", "try: virtlab up [-h]"]),
        (["up", "--ovnk-bug", "X-1"], 2, ["wanted a bug of OVN-Kubernetes of this lab: 'X-1'", "one of OCPBUGS-27215"]),
        (
            ["up", "--nmstate", "0.82"],
            2,
            ["wanted a release of kubernetes-nmstate", "'0.82' (--nmstate)", "one of 0.83, 0.84, 0.85, 0.86; without"],
        ),
        (["up", "--nmstate", ""], 2, ["wanted a release of kubernetes-nmstate", "'' (--nmstate)"]),
        (
            ["up", "--workers", "2", "--nmstate", "0.83"],
            1,
            ["wanted the lab 'one' with kubernetes-nmstate 0.83: it is up with 0.86", "try: virtlab down --name one"],
        ),
        (["up", "--bogus"], 2, ["unrecognized arguments: --bogus", "try:"]),
        (["down", "--name", "two"], 1, ["wanted a lab named 'two': there is none; known: one", "try: virtlab status"]),
        (["kubeconfig", "--name", "two"], 1, ["the lab 'two' to be up", "up are: one", "virtlab up --name two"]),
        (["fault"], 2, ["required: action\n", "{set,list,heal}"]),
        (["fault", "frob"], 2, ["invalid choice: 'frob'", "try: virtlab fault"]),
        (["fault", "set"], 2, ["wanted the name of a fault: none", "try: virtlab fault list"]),
        (["fault", "set", "frob"], 2, ["wanted a fault of the catalogue: 'frob'"]),
        (["fault", "set", "gateway-down", "vlan=5000"], 2, ["from 1 to 4094: '5000'"]),
        (["fault", "heal", "gateway-down"], 1, ["wanted the fault gateway-down: it is not set"]),
        (["outside"], 2, ["required: action"]),
        (["outside", "exec"], 2, ["the name of an outside host: none", "try: one of outside, gateway-2024"]),
        (["outside", "exec", "nohost", "--", "true"], 2, ["'nohost'", "try: one of outside, gateway-2024"]),
        (["outside", "exec", "gateway-2024"], 2, ["a command to run", "virtlab outside exec gateway-2024 -- ip addr"]),
        (["outside", "connect", "gateway-2024"], 2, ["an address and a port after the host: 0 words\n", "20 22"]),
        (["outside", "connect", "gateway-2024", "a", "b", "c"], 2, ["3 words: a b c"]),
        (["outside", "connect", "gateway-2024", "192.168.24.20", "x"], 2, ["a port from 1 to 65535: 'x'"]),
        (["outside", "exec", "--name", "two", "gateway-2024", "--", "true"], 1, ["wanted the lab 'two' to be up"]),
        (["node", "exec"], 2, ["required: node", "try: virtlab node [--name NAME] exec node -- command"]),
        (["node", "exec", "worker-1"], 2, ["a command to run", "virtlab node exec worker-1 -- ovs-vsctl show"]),
        (
            ["node", "exec", "worker-9", "--", "true"],
            2,
            ["a node of this lab: 'worker-9'", "one of worker-1, worker-2"],
        ),
    ],
)
def test_one_message_and_its_exit_code(
    running: Running, capsys: pytest.CaptureFixture[str], words: list[str], code: int, parts: list[str]
) -> None:
    found, message = said(capsys, *words)
    assert found == code, message
    assert message.startswith("virtlab")
    assert not [part for part in parts if part not in message], message
    assert message.count("virtlab:") <= 1


def test_a_lab_that_is_up_as_asked_is_left_alone(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["up", "--workers", "2"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("lab one is up already\n")
    # The path has a space in it: what is printed must be fit for a shell.
    assert f"export KUBECONFIG='{running.layout.kubeconfig}'" in out


def test_a_lab_of_another_size_is_refused(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    code, message = said(capsys, "up", "--workers", "3")
    assert code == 1
    assert "wanted the lab 'one' with 3 workers: it is up with 2" in message
    assert "virtlab down --name one, or another --name" in message


@pytest.mark.parametrize(
    "words", [["kubeconfig"], ["node", "exec", "worker-1", "--", "true"], ["fault", "set", "gateway-down", "vlan=2024"]]
)
def test_a_lab_that_is_coming_up_is_not_up(
    running: Running, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    running.facts({key: value for key, value in FACTS.items() if key not in {"pid", "seconds"}})
    code, message = said(capsys, *words)
    assert code == 1
    assert "wanted the lab 'one' to be up: it is only just coming up" in message
    code, message = said(capsys, "up", "--workers", "2")
    assert code == 1
    assert "another `up` of that name is at work just now" in message


def test_down_twice_and_what_is_kept(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab = Running("one", FACTS)
    os.close(lab.fd)
    assert cli.main(["down"]) == 0
    assert cli.main(["down", "--purge"]) == 0
    assert capsys.readouterr().out == "lab one was not up\n" * 2
    assert not lab.layout.root.exists()
    code, message = said(capsys, "down")
    assert code == 1
    assert "there is none; known: none" in message


def test_a_lab_is_up_while_its_lock_is_held_whatever_files_say(running: Running) -> None:
    running.layout.facts.write_text("{half")
    assert running.layout.is_up()
    assert running.layout.read_facts() == {}
    fcntl.flock(running.fd, fcntl.LOCK_UN)
    assert not running.layout.is_up()


def test_status_of_nothing(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status"]) == 1
    assert "one: there is no lab of that name; known: none" in capsys.readouterr().out
    assert cli.main(["status", "--all"]) == 1
    assert "no lab of this user; try: virtlab up" in capsys.readouterr().out
    assert cli.main(["status", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [(entry["name"], entry["state"]) for entry in found] == [("one", "down")]


def test_a_lab_whose_api_is_gone_is_broken(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    (running.layout.root / "faults").mkdir()
    (running.layout.root / "faults" / "gateway-down.2024.json").write_text("{}")
    assert cli.main(["status", "--json"]) == 1
    entry = json.loads(capsys.readouterr().out)[0]
    assert entry["state"] == "broken"
    assert entry["problem"]
    assert entry["faults"] == ["gateway-down.2024"]


@pytest.mark.parametrize("variable", ["XDG_STATE_HOME"])
def test_a_folder_that_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(variable, str(tmp_path / "file"))
    code, message = said(capsys, "up")
    assert code == 10
    assert "wanted a folder for the lab 'one': Not a directory" in message
    assert f"({tmp_path}/file/virtlab/labs/one)" in message
    assert f"try: set {variable} to a folder that you may write to" in message


def test_any_other_trouble_with_files_is_no_traceback(
    running: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "/somewhere/file")

    monkeypatch.setattr(os, "execvpe", full)
    code, message = said(capsys, "node", "exec", "worker-1", "--", "true")
    assert code == 10
    assert "No space left on device (/somewhere/file)" in message
    assert "try: virtlab doctor" in message


@pytest.mark.parametrize(
    ("words", "ours", "theirs"),
    [
        (["outside", "exec", "gw", "--", "ip", "-br", "a"], ["outside", "exec", "gw"], ["ip", "-br", "a"]),
        (["outside", "exec", "gw", "ping", "-c1", "x"], ["outside", "exec", "gw"], ["ping", "-c1", "x"]),
        (["outside", "exec", "--name", "n", "gw", "--", "x"], ["outside", "--name", "n", "exec", "gw"], ["x"]),
        (["outside", "exec", "gw", "--name=n", "--", "x"], ["outside", "--name=n", "exec", "gw"], ["x"]),
        (["node", "exec", "w", "--", "ls", "--name", "n"], ["node", "exec", "w"], ["ls", "--name", "n"]),
        (["node", "exec", "w", "ls", "--name", "n"], ["node", "exec", "w"], ["ls", "--name", "n"]),
        (["node", "exec", "w", "--", "sh", "--", "x"], ["node", "exec", "w"], ["sh", "--", "x"]),
        (["outside", "list", "--name"], ["outside", "--name", "list"], []),
        (["node", "-h"], ["node", "-h"], []),
    ],
)
def test_whose_words_are_whose(words: list[str], ours: list[str], theirs: list[str]) -> None:
    assert cli.split(words) == (ours, theirs)


def test_a_command_enters_the_lab_then_the_node(running: Running, executed: list[list[str]]) -> None:
    running.facts(FACTS | {"user_namespace": True})
    cli.main(["node", "exec", "worker-2", "--", "sh", "-c", "a b"])
    assert executed[0][:3] == ["nsenter", "--target=4711", "--user"]
    inner = executed[0][executed[0].index("--") + 1 :]
    assert inner[:2] == ["nsenter", "--target=30"]
    assert inner[-3:] == ["sh", "-c", "a b"]


def test_a_command_enters_the_lab_then_the_network_of_the_host(running: Running, executed: list[list[str]]) -> None:
    cli.main(["outside", "connect", "gateway-2024", "192.168.24.20", "22"])
    assert "--user" not in executed[0]
    assert executed[0][-7:] == [
        "nsenter", "--net=/run/netns/gateway-2024", "--", "busybox", "nc", "192.168.24.20", "22",
    ]  # fmt: skip
