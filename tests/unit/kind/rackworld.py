"""Run inside private namespaces: the rack of `virtlab kind` for real, with namespaces in place of containers.

Started by test_kind_rack.py. Open vSwitch, cables, LACP and packets are real; the container engine is a small program
that enters a namespace where the real one enters a container. An assertion that fails ends it with a traceback.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from lab.kind import cables, doing
from lab.kind.cables import Rack
from lab.kind.words import Step

ENGINE = """#!/bin/sh
# exec NAME WORDS | inspect [--format F] NAME | run ... --name NAME ... | start NAME
here={folder}
enter() {{
    name=$1; shift
    kill -0 "$(cat $here/$name.pid)" 2>/dev/null || exit 1
    export OVS_RUNDIR=$here/$name OVS_LOGDIR=$here/$name OVS_DBDIR=$here/$name
    case "$1" in
    */ovs-ctl) set -- sh -ec 'cd $OVS_RUNDIR; rm -f *.pid *.ctl db.sock
        [ -e conf.db ] || ovsdb-tool create conf.db $OVS_PKGDATADIR/vswitch.ovsschema
        ovsdb-server --remote=punix:$OVS_RUNDIR/db.sock --pidfile --detach --log-file=$OVS_RUNDIR/db.log conf.db
        ovs-vsctl --no-wait init';;
    esac
    exec nsenter --target "$(cat $here/$name.pid)" --net --mount -- "$@"
}}
begin() {{
    mkdir -p $here/$1
    setsid unshare --net --mount sh -c 'mount -t tmpfs tmpfs /run; echo $$ >$0.new; mv $0.new $0; exec sleep 600' \\
        $here/$1.pid </dev/null >/dev/null 2>&1 &
    wanted=$!
    while [ "$(cat $here/$1.pid 2>/dev/null)" != "$wanted" ]; do sleep 0.05; done
}}
case "$1" in
exec) shift; [ "$1" = --interactive ] && shift; enter "$@";;
inspect) for last; do :; done; [ -e $here/$last.pid ] || exit 1; cat $here/$last.pid;;
run) while [ "$1" != --name ]; do shift; done; begin "$2";;
start) begin "$2";;
esac
"""
RACK = Rack("docker", "switch", "none", "lab", ("one", "two"), datapath="netdev")


def docker(*words: str, check: bool = True) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 or not check, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def make() -> None:
    steps = [Step("cables", "", (*cables.switch(RACK), *cables.cables(RACK)))]
    doing.carry_out(steps, Path("none"), lambda line: print(line, flush=True))


def until(said: str, *words: str) -> str:
    """Nothing in Open vSwitch announces that LACP has negotiated."""
    ends = time.monotonic() + 30
    while said not in (found := docker(*words, check=False)):
        assert time.monotonic() < ends, f"{words}: wanted {said!r}, found {found!r}"
        time.sleep(0.2)
    return found


def node(name: str, address: str) -> None:
    """What policies make on a worker: a bond with LACP over its second pair, a VLAN on it."""
    docker("exec", name, "ovs-vsctl", "--if-exists", "del-br", "br1")
    docker("exec", name, "ovs-vsctl", "add-br", "br1", "--", "set", "Bridge", "br1", "datapath_type=netdev", "--",
           "add-bond", "br1", "bond2", "eth3", "eth4", "lacp=active", "other_config:lacp-time=fast",
           "bond_mode=balance-tcp", "--",
           "add-port", "br1", "v2024", "tag=2024", "--", "set", "Interface", "v2024", "type=internal")  # fmt: skip
    docker("exec", name, "ip", "address", "add", f"{address}/24", "dev", "v2024")
    docker("exec", name, "ip", "link", "set", "v2024", "up")


def pings(name: str, address: str) -> bool:
    """All of three come back."""
    return ", 0% packet loss" in docker("exec", name, "ping", "-c", "3", "-i", "0.3", "-W", "2", address, check=False)


def negotiated(name: str) -> None:
    until("negotiated", "exec", name, "ovs-appctl", "lacp/show", "bond2")
    assert until("may_enable: true", "exec", name, "ovs-appctl", "bond/show", "bond2").count("may_enable: true") == 2


def world() -> None:
    for name in RACK.workers:
        docker("run", "--name", name)
    make()
    make()
    for number, name in enumerate(RACK.workers, 1):
        docker("exec", name, "/ovs-ctl")
        docker("exec", name, "ovs-vswitchd", "--detach", "--pidfile", "--log-file")
        node(name, f"192.168.24.2{number}")
    for name in RACK.workers:
        negotiated(name)
        assert pings(name, "192.168.24.1"), f"{name} does not reach the gateway"
    assert pings("one", "192.168.24.22"), "the workers do not reach each other"
    said = docker("exec", "switch", "ovs-appctl", "lacp/show", "w1.lag1")
    assert said.count("current attached") == 2, said

    docker("exec", "one", "ovs-vsctl", "set", "Port", "v2024", "tag=1993")
    assert not pings("one", "192.168.24.1"), "another VLAN reaches the gateway of this one"
    docker("exec", "one", "ovs-vsctl", "set", "Port", "v2024", "tag=2024")
    docker("exec", "switch", "ip", "link", "set", "w1.eth3", "down")
    assert pings("one", "192.168.24.1"), "one of two NICs is down, and the bond does not carry on"

    # As after a reboot: the switch has ended, and with its namespace all cables.
    folder = Path(os.environ["RACK"])
    for file in ("switch.pid", "switch/ovs-vswitchd.pid", "switch/ovsdb-server.pid"):
        os.kill(int((folder / file).read_text()), signal.SIGKILL)
    # The namespace lives until its last process has ended.
    until("does not exist", "exec", "one", "ip", "link", "show", "dev", "eth3")
    make()
    for number, name in enumerate(RACK.workers, 1):
        node(name, f"192.168.24.2{number}")
    for name in RACK.workers:
        negotiated(name)
        assert pings(name, "192.168.24.1"), f"{name} does not reach the gateway of the new switch"


if __name__ == "__main__":
    here = Path(os.environ["RACK"])
    engine = here / "bin" / "docker"
    engine.parent.mkdir()
    engine.write_text(ENGINE.format(folder=here))
    engine.chmod(0o755)
    os.environ["PATH"] = f"{engine.parent}:{os.environ['PATH']}"
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    world()
    print("as wanted")
    sys.exit(0)
