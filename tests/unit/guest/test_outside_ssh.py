"""Outside hosts by ssh, as a target file names them, against a real sshd on loopback: what passes, what is refused."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.core import process
from lab.core.deadline import Deadline
from lab.core.errors import GuestUnreachable
from lab.guest.outside import OutsideShell
from lab.guest.talk import TalkOver, talk
from lab.probes.detached import Detached
from lab.survey.fit import gateways
from lab.target.inventory import Target, load
from tests import programs

CONFIG = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized
PidFile {folder}/pid
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
LogLevel VERBOSE
"""
AS_ROOT = """
mount --bind "$1/passwd" /etc/passwd
mount -t tmpfs tmpfs /run
mkdir -p /run/sshd
shift
exec "$@"
"""
"""Root's sshd gives up its rights to a user and in a folder that a host without the package has not."""


@dataclass
class Sshd:
    """A server of the test's own, with the keys of two people, one of whom it knows."""

    folder: Path
    port: int
    server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = programs.sshd()
        (self.folder / "config").write_text(CONFIG.format(port=self.port, folder=self.folder))
        argv = [str(program.path), "-D", "-e", "-f", str(self.folder / "config")]
        # Newer releases have the rest of it in programs beside it, at a path of their package.
        parts = program.path.parents[2] / "usr/lib/openssh"
        for option, name in (("SshdSessionPath", "sshd-session"), ("SshdAuthPath", "sshd-auth")):
            if (parts / name).is_file() and parts != Path("/usr/lib/openssh"):
                argv += ["-o", f"{option}={parts / name}"]
        if os.geteuid() == 0:
            users = Path("/etc/passwd").read_text().replace("\nsshd:", "\nold-sshd:")
            (self.folder / "passwd").write_text(f"{users}sshd:x:65534:65534::/run/sshd:/usr/sbin/nologin\n")
            argv = ["unshare", "--mount", "sh", "-ec", AS_ROOT, "sh", str(self.folder), *argv]
        with (self.folder / "log").open("ab") as log:
            self.server = subprocess.Popen(argv, env=dict(program.env), stdout=log, stderr=log)
        for _ in range(200):
            assert self.server.poll() is None, (self.folder / "log").read_text()
            with socket.socket() as trial:
                if trial.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            threading.Event().wait(0.1)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self) -> None:
        if self.server is not None:
            self.server.terminate()
            self.server.wait(10)
            self.server = None

    def new_key(self, name: str) -> str:
        """Replaces one that is there; its public half."""
        for path in (self.folder / name, self.folder / f"{name}.pub"):
            path.unlink(missing_ok=True)
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(self.folder / name)]
        subprocess.run(keygen, check=True, timeout=60)
        return (self.folder / f"{name}.pub").read_text()

    def known(self) -> None:
        kind, key, _ = (self.folder / "host.pub").read_text().split()
        (self.folder / "known").write_text(f"[127.0.0.1]:{self.port} {kind} {key}\n")

    def target(self, **changed: object) -> Target:
        """A target file with this host under `outside`, as a person writes it."""
        own = {"host": "127.0.0.1", "user": getpass.getuser(), "port": self.port, "key": "mine", "known-hosts": "known"}
        words = ", ".join(f"{key}: {value}" for key, value in (own | changed).items())
        text = (
            "name: lab\ncluster: {}\nnodes: {selector: a=b}\nnics: {primary: eth0}\n"
            "images: {default: {image: i, user: u, password: p}}\n"
            f"outside:\n  gw:\n    ssh: {{{words}}}\n"
        )
        (self.folder / "target.yaml").write_text(text)
        return load(self.folder / "target.yaml")

    def shell(self, **changed: object) -> OutsideShell:
        return OutsideShell(self.target(**changed).outside_host("gw"))


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    if not (shutil.which("ssh") and shutil.which("ssh-keygen")):
        pytest.skip("no OpenSSH client on this host")
    if pwd.getpwuid(os.geteuid()).pw_shell.endswith(("nologin", "false")):
        pytest.skip("the user of the tests has no shell to log in to")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    made = Sshd(tmp_path, port)
    made.new_key("host")
    made.new_key("other")
    (tmp_path / "authorized").write_text(made.new_key("mine"))
    made.known()
    try:
        made.start()
        yield made
    finally:
        made.stop()


def deadline() -> Deadline:
    return Deadline.after(60)


def test_words_arrive_as_they_are_and_the_exit_status_is_the_command_s(sshd: Sshd) -> None:
    shell = sshd.shell()
    hostile = ["a b", "$HOME", "'\"", "`id`", "*", "", "-x", "ä;true"]
    done = shell.run(["printf", "[%s]", *hostile], deadline=deadline())
    assert done.stdout == "".join(f"[{word}]" for word in hostile)
    failed = shell.run(["sh", "-c", "echo out; echo err >&2; exit 7"], deadline=deadline())
    assert (failed.exit_code, failed.stdout, failed.stderr) == (7, "out\n", "err\n")


def test_a_command_s_own_255_is_an_answer_and_no_lost_connection(sshd: Sshd) -> None:
    done = sshd.shell().run(["sh", "-c", "echo no route of mine >&2; exit 255"], deadline=deadline())
    assert (done.exit_code, done.stderr) == (255, "no route of mine\n")


def test_a_stream_leads_from_that_host_to_where_it_is_asked_for(sshd: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def echo() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(connection.recv(100).upper())

        threading.Thread(target=echo, daemon=True).start()
        words = sshd.target().outside_host("gw").connect
        argv = [word.format(host="127.0.0.1", port=port) for word in words]
        done = process.run(argv, deadline=deadline(), stdin="hello")
    assert (done.exit_code, done.stdout) == (0, "HELLO")


def test_a_conversation_goes_on_over_one_connection_and_its_end_is_said(sshd: Sshd) -> None:
    talking = talk(sshd.shell(), "echo $PPID", deadline=deadline())
    (session,) = {int(talking.ask(deadline()).text) for _ in range(3)}
    os.kill(session, signal.SIGKILL)
    with pytest.raises(TalkOver, match=r"Connection to|client_loop"):
        talking.ask(deadline())
    talking.close()


def test_a_probe_lives_on_there_without_a_session_and_is_stopped_from_here(sshd: Sshd) -> None:
    job = Detached(sshd.shell(), "ticks")
    job.start(["sh", "-c", "echo up; while sleep 0.1; do echo tick; done"], running="up", deadline=deadline())
    log = job.stop(more="tick", wait_s=10, deadline=deadline()).stdout
    assert log.startswith("up\ntick\n")
    assert not Path(job.folder).exists()


def refusal(shell: OutsideShell) -> str:
    with pytest.raises(GuestUnreachable) as caught:
        shell.run(["true"], deadline=deadline())
    return str(caught.value)


def test_a_key_that_is_not_known_there_is_told_and_nothing_is_asked_for(sshd: Sshd) -> None:
    said = refusal(sshd.shell(key="other"))
    assert "wanted: a shell on outside host gw by ssh" in said
    assert f"found: {getpass.getuser()}@127.0.0.1: Permission denied (publickey)." in said
    assert "outside.gw.ssh.user and .key" in said


def test_a_key_that_others_may_read_is_told(sshd: Sshd) -> None:
    (sshd.folder / "mine").chmod(0o644)
    said = refusal(sshd.shell())
    assert "found: WARNING: UNPROTECTED PRIVATE KEY FILE!" in said
    assert "chmod 600 the file of outside.gw.ssh.key" in said


def test_a_host_whose_key_has_changed_is_not_talked_to(sshd: Sshd) -> None:
    assert sshd.shell().run(["true"], deadline=deadline()).ok
    sshd.stop()
    sshd.new_key("host")
    sshd.start()
    said = refusal(sshd.shell())
    assert "found: WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!" in said
    assert "ssh-keygen -R" in said


def test_a_host_whose_key_nobody_has_seen_is_not_talked_to(sshd: Sshd) -> None:
    (sshd.folder / "known").write_text("")
    said = refusal(sshd.shell())
    assert "Host key verification failed." in said
    assert "log in once by hand" in said
    assert (sshd.folder / "known").read_text() == ""


def test_a_host_that_is_down_is_told(sshd: Sshd) -> None:
    shell = sshd.shell()
    sshd.stop()
    said = refusal(shell)
    assert f"found: ssh: connect to host 127.0.0.1 port {sshd.port}: Connection refused" in said
    assert "is it up, and host and port right?" in said


def test_a_name_that_is_none_is_told(sshd: Sshd) -> None:
    assert "Could not resolve hostname nowhere.invalid" in refusal(sshd.shell(host="nowhere.invalid"))


def test_a_connection_that_is_lost_in_mid_command_is_no_answer(sshd: Sshd) -> None:
    with pytest.raises(GuestUnreachable) as caught:
        sshd.shell().run(["sh", "-c", "kill -9 $PPID; sleep 5"], deadline=deadline())
    assert "closed by remote host" in str(caught.value) or "Connection" in str(caught.value)


def test_the_check_of_a_target_file_says_the_same(sshd: Sshd) -> None:
    (fine,) = gateways(sshd.target())
    assert (fine.subject, fine.seen) == ("outside host gw", "answers")
    (wrong,) = gateways(sshd.target(key="other"))
    assert "Permission denied (publickey)" in wrong.seen
