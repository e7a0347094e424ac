"""NetworkManager on demand, with stand-ins for its programs on PATH, in namespaces of the test's own."""

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.embedded.errors import LabError
from lab.embedded.host.ovs import Ovs
from lab.embedded.model.spec import NodeSpec
from lab.embedded.node.machine import take_address
from lab.embedded.node.networkmanager import files
from lab.embedded.node.networkmanager.monitor import Regained
from lab.embedded.node.networkmanager.session import Session
from lab.embedded.node.nmstate.apply import Node
from lab.embedded.node.nmstate.dhcp import DhcpClients
from lab.embedded.node.nmstate.errors import NmstateError
from lab.embedded.node.nmstate.model import Host, Link

ROOT = Path(__file__).resolve().parents[3]
WIRED = "3f2976d3-e661-39b2-a287-8d47f01f5899"


@pytest.mark.parametrize(
    ("listed", "nothing"),
    [
        (f"{WIRED}:/run/NetworkManager/system-connections/Wired connection 1.nmconnection:activated\n", True),
        (f"{WIRED}:/etc/NetworkManager/system-connections/Wired connection 1.nmconnection:activated\n", True),
        (f"{WIRED}:/run/NetworkManager/system-connections/Wired connection 1.nmconnection:activating\n", False),
        (f"{WIRED}:/run/x:activated\nb1::activated\n", True),
        (f"{WIRED}:/run/x:activated\nb1:/etc/NetworkManager/system-connections/br1.nmconnection:\n", False),
        ("", False),
    ],
)
def test_what_there_is_to_keep(listed: str, nothing: bool) -> None:
    assert files.nothing_saved(listed, WIRED) is nothing


def test_without_a_profile_of_its_own_nothing_need_be_active() -> None:
    assert files.nothing_saved("b1::activated\n", "")


def test_state_files_of_links() -> None:
    leased = "[device]\nmanaged=true\nconnection-uuid=x\n\n[dhcp4]\ndhcp4.ip_address=192.168.52.11\n"
    assert files.managed(leased)
    assert files.leased(leased)
    assert not files.leased("[device]\nmanaged=true\n")
    assert not files.managed("[device]\nmanaged=false\n")


def test_the_profile_is_the_same_each_time() -> None:
    assert files.profile_uuid("02:00:00:a8:34:0b") == WIRED


class Holder:
    async def release(self) -> None:
        return

    def held(self) -> frozenset[str]:
        return frozenset({"br1", "ens3"})


def test_a_policy_leaves_what_it_holds_alone(tmp_path: Path) -> None:
    node = Node(Ovs(tmp_path), ["ens3", "enp6s0f0"], tmp_path)
    node.others = Holder()
    before = Host(links={name: Link(name, "ethernet") for name in ("ens3", "enp6s0f0")}, dhcp=frozenset({"br1"}))
    other = replace(before.links["enp6s0f0"], mtu=9000)
    node._leave_others(before, replace(before, links={**before.links, "enp6s0f0": other}))
    after = {**before.links, "ens3": replace(before.links["ens3"], mtu=9000)}
    with pytest.raises(NmstateError, match=r"br1, ens3: held by profiles that were made with nmcli on this node"):
        node._leave_others(before, replace(before, links=after, dhcp=frozenset()))


def begin(folder: Path) -> None:
    asyncio.run(Session(folder / "nm", DhcpClients(folder / "dhcp")).begin())


def test_without_its_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    wanted = r"wanted NetworkManager on this node: not on PATH: dbus-daemon, NetworkManager[\s\S]*try: virtlab fetch"
    with pytest.raises(LabError, match=wanted):
        begin(tmp_path)


BUS = f"""#!{sys.executable}
import re, socket, sys
path = re.search("unix:path=([^<]*)<", open(sys.argv[1].partition("=")[2]).read())[1]
server = socket.create_server(path, family=socket.AF_UNIX)
while True:
    client, _ = server.accept()
    client.sendall(client.recv(100).upper())
    client.close()
"""
MANAGER = f"#!{sys.executable}\nimport time\ntime.sleep(60)\n"
NMCLI = """#!/bin/sh
case "$*" in
*general) echo running ;;
*"con show") cat "$LISTED" ;;
*) printf 'yes\nauto\n' ;;
esac
"""
IDLE = "#!/bin/sh\nexec sleep 60\n"
SILENT = "#!/bin/sh\n"
PROGRAMS = {
    "good": {"dbus-daemon": BUS, "NetworkManager": MANAGER, "nm-online": SILENT, "nmcli": NMCLI},
    "without-bus": {"dbus-daemon": IDLE, "NetworkManager": MANAGER, "nm-online": SILENT, "nmcli": NMCLI},
    "without-answer": {"dbus-daemon": BUS, "NetworkManager": MANAGER, "nm-online": SILENT, "nmcli": SILENT},
}
STAGE = r"""
import asyncio, json, os, sys
from pathlib import Path
from lab.embedded.host.mounts import mount
from lab.embedded.node.networkmanager import service, session
from lab.embedded.node.networkmanager.session import Session
from lab.embedded.node.nmstate.apply import Node
from lab.embedded.node.ownfiles import prepare

mount("tmpfs", "/run")
session.BUS_SECONDS, service.LINGER_SECONDS = 1.0, 0.2
PROFILES, RUNTIME = Path("/etc/NetworkManager"), Path("/run/NetworkManager")
PATH, found = os.environ["PATH"], {}

def ip(*lines):
    for line in lines:
        assert os.system(f"ip {line}") == 0

def use(folder):
    os.environ["PATH"] = f"{sys.argv[1]}/{folder}:{PATH}"

def network():
    read = lambda words: json.loads(os.popen(f"ip -j {words}").read() or "[]")
    addresses = [(a["local"], "noprefixroute" in a) for a in read("addr show ens3")[0]["addr_info"]]
    routes = [(r["dst"], r.get("metric")) for family in ("-4", "-6") for r in read(f"{family} route show dev ens3")]
    return [sorted(map(str, what)) for what in (addresses, routes)] + [accept_ra.read_text()]

async def say(text):
    reader, writer = await asyncio.open_unix_connection(service.SYSTEM_BUS)
    writer.write(text)
    try:
        return (await reader.read()).decode()
    except ConnectionError:
        return ""
    finally:
        writer.close()

async def main():
    back = asyncio.Event()
    async def reconnect():
        back.set()
    manager = service.NetworkManager(Path("/run/nm"), node, "192.0.2.1", changed=lambda: None, reconnect=reconnect)
    running = asyncio.ensure_future(manager.run())
    await asyncio.sleep(0.1)
    use("good")
    found["unprepared"] = await say(b"hello")
    prepare([])
    for folder in ("without-bus", "without-answer"):
        use(folder)
        found[folder] = [await say(b"hello"), manager.session.running, os.listdir(PROFILES), network() == before]
    use("good")
    found["first"] = [PROFILES.joinpath("NetworkManager.conf").exists(), await say(b"hello"), manager.session.alive]
    found["profiles"] = [path.name for path in RUNTIME.glob("*/*connection")]
    (state,) = RUNTIME.glob("devices/*")
    found["held"] = [sorted(manager.held()), sorted(node.dhcp.serving())]
    state.write_text(state.read_text() + "[dhcp4]\n")
    found["leased"] = sorted(node.dhcp.serving())
    state.with_name("99").write_text("[device]\nmanaged=true\n")
    found["held, one gone"] = sorted(manager.held())

    PROFILES.joinpath("mine").touch()
    os.kill(manager.session._read()["pids"][1], 9)
    await asyncio.sleep(0.1)
    found["died"] = [manager.session.running, manager.session.alive]
    found["again"] = [await say(b"again"), manager.session.alive, PROFILES.joinpath("mine").exists()]

    listed = Path(os.environ["LISTED"])
    nothing = listed.read_text()
    listed.write_text(nothing + "b1:/etc/NetworkManager/system-connections/br1.nmconnection:\n")
    await say(b"hello")
    await asyncio.sleep(1.0)
    found["something to keep"] = manager.session.running
    await manager.release()
    found["something to keep, asked for"] = manager.session.running

    ip("addr replace 192.0.2.1/24 dev ens3")
    await asyncio.sleep(0.3)
    found["no news"] = back.is_set()
    ip("addr flush dev ens3", "addr add 192.0.2.1/24 dev ens3")
    await asyncio.wait_for(back.wait(), 5)

    ip("addr flush dev ens3", "addr add 192.0.2.1/24 dev ens3 noprefixroute",
       "route add 192.0.2.0/24 dev ens3 metric 9")
    accept_ra.write_text("0")
    found["changed"] = network() != before
    listed.write_text(nothing)
    await say(b"hello")
    await asyncio.sleep(1.5)
    found["idle"] = [manager.session.running, os.listdir(PROFILES), os.listdir(RUNTIME)]
    found["network"] = [before, network()]

    # All processes of the node are killed; its agent is a new one.
    async def killed():
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        for pid in manager.session._read()["pids"]:
            os.kill(pid, 9)
        await asyncio.sleep(0.1)
    await say(b"hello")
    ip("addr flush dev ens3", "addr add 192.0.2.1/24 dev ens3 noprefixroute",
       "route add 192.0.2.0/24 dev ens3 metric 9")
    await killed()
    found["killed"] = [manager.session.running, manager.session.alive, network() == before]
    await Session(manager.session.folder, node.dhcp).resume()
    found["killed idle"] = [manager.session.running, os.listdir(PROFILES), network() == before]

    running = asyncio.ensure_future(manager.run())
    await asyncio.sleep(0.1)
    await say(b"hello")
    saved = PROFILES / "system-connections" / "br1.nmconnection"
    saved.touch()
    await killed()
    await Session(manager.session.folder, node.dhcp).resume()
    found["killed with a profile"] = [manager.session.alive, saved.exists()]
    os.kill(manager.session._read()["pids"][1], 9)
    listed.write_text(nothing + "b1:/etc/NetworkManager/system-connections/br1.nmconnection:\n")
    running = asyncio.ensure_future(manager.run())
    await asyncio.sleep(1.5)
    found["killed alone"] = manager.session.alive
    saved.unlink()
    listed.write_text(nothing)
    await say(b"hello")
    await asyncio.sleep(1.5)
    found["killed, in the end"] = [manager.session.running, network() == before]

ip("link add ens3 type veth peer name other", "link set ens3 address 02:00:00:a8:34:0b", "link set other up",
   "link set ens3 up", "addr add 192.0.2.1/24 dev ens3")
accept_ra = Path("/proc/sys/net/ipv6/conf/ens3/accept_ra")
before = network()
node = Node(None, ["ens3"], Path("/run/nmstate"))
asyncio.run(main())
print(json.dumps(found))
"""


Played = tuple[dict[str, Any], str]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """What the scenes saw, by name, and what the service logged."""
    folder = tmp_path_factory.mktemp("stage")
    for place, programs in PROGRAMS.items():
        for name, text in programs.items():
            path = folder / place / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)
    (folder / "listed").write_text(f"{WIRED}:/run/NetworkManager/system-connections/w.nmconnection:activated\n")
    argv = ["unshare", "--user", "--map-root-user", "--mount", "--net", "--pid", "--fork", "--kill-child"]
    argv += ["--mount-proc", "--propagation=private", "--", sys.executable, "-c", STAGE, str(folder)]
    env = {**os.environ, "LISTED": str(folder / "listed")}
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_without_folders_of_the_nodes_own(played: Played) -> None:
    found, log = played
    assert found["unprepared"] == ""
    folders = "/etc/NetworkManager and /var/lib/NetworkManager"
    assert f"wanted {folders} of the node's own: the kernel refused to mount them (the node's log has its words)" in log


@pytest.mark.parametrize(
    ("scene", "logged"),
    [
        ("without-bus", "wanted a bus for NetworkManager: none within 1 s (/run/nm/dbus-daemon.log)"),
        ("without-answer", "wanted NetworkManager to be up: it does not answer (/run/nm/NetworkManager.log)"),
    ],
)
def test_a_start_that_fails_leaves_the_node_as_it_was(played: Played, scene: str, logged: str) -> None:
    found, log = played
    assert found[scene] == ["", False, [], True]
    assert logged in log


def test_a_client_brings_it_up(played: Played) -> None:
    assert played[0]["first"] == [False, "HELLO", True]
    assert played[0]["profiles"] == ["Wired connection 1.nmconnection"]


def test_links_are_told_by_its_own_files(played: Played) -> None:
    assert played[0]["held"] == [["ens3"], []]
    assert played[0]["leased"] == ["ens3"]
    assert played[0]["held, one gone"] == ["ens3"]


def test_connections_are_given_up_when_the_address_is_back(played: Played) -> None:
    assert played[0]["no news"] is False


@pytest.mark.parametrize(
    ("lines", "back"),
    [
        (["5: ens3 inet 192.0.2.1/24 scope global ens3"], [False]),
        (["Deleted 5: ens3    inet 192.0.2.1/24 scope", "6: br1    inet 192.0.2.1/24 brd"], [False, True]),
        (["Deleted 5: ens3    inet 192.0.2.1/24 scope", "6: br1    inet 192.0.2.10/24 brd"], [False, False]),
        (["Deleted 5: ens3    inet 192.0.2.11/24 scope", "5: ens3    inet 192.0.2.1/24 brd"], [False, False]),
    ],
)
def test_news_of_an_address(lines: list[str], back: list[bool]) -> None:
    reader = Regained("192.0.2.1")
    assert [reader.told(line) for line in lines] == back


def test_one_that_died_is_started_again_with_what_it_had(played: Played) -> None:
    assert played[0]["died"] == [True, False]
    assert played[0]["again"] == ["AGAIN", True, True]


def test_it_stays_while_it_has_something_to_keep(played: Played) -> None:
    assert played[0]["something to keep"]
    assert played[0]["something to keep, asked for"]


def test_an_idle_one_goes_and_the_node_is_as_before(played: Played) -> None:
    assert played[0]["idle"] == [False, [], []]
    before, after = played[0]["network"]
    assert played[0]["changed"]
    assert after == before


def test_one_killed_with_all_of_the_node_gives_the_nic_back(played: Played) -> None:
    assert played[0]["killed"] == [True, False, False]
    assert played[0]["killed idle"] == [False, [], True]


def test_one_killed_with_profiles_to_keep_is_started_again_without_a_client(played: Played) -> None:
    assert played[0]["killed with a profile"] == [True, True]
    assert played[0]["killed alone"]
    assert played[0]["killed, in the end"] == [False, True]


class Broken:
    """A stay that cannot go on."""

    async def resume(self) -> None:
        raise LabError("wanted a bus for NetworkManager", "none within 5 s")


class Clients:
    """DHCP clients of which one gets the address."""

    def __init__(self) -> None:
        self.started: list[str] = []

    async def revive(self, wait: float) -> None:
        return

    def running(self) -> frozenset[str]:
        return frozenset(self.started)

    async def start(self, name: str, wait: float) -> str:
        self.started.append(name)
        return "192.168.52.99/24"


def test_a_node_comes_up_without_a_networkmanager_that_cannot(caplog: pytest.LogCaptureFixture) -> None:
    clients = Clients()
    node = SimpleNamespace(name="w1", machine_ip="192.168.52.99", machine="192.168.52.99/24")
    asyncio.run(take_address(cast(NodeSpec, node), cast(DhcpClients, clients), cast(Session, Broken())))
    assert clients.started == ["ens3"]
    assert "wanted a bus for NetworkManager: none within 5 s" in caplog.text
