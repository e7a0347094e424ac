"""Another kernel than the host's: the guests' own one, booted in QEMU, where commands of this process are run.

A host's kernel may lack what is to be seen (bridges that filter VLANs, say).  The distribution's kernel that the lab's
guests boot has it.  `place` makes programs which, found first on PATH, hand their arguments and input on to that kernel
and come back with what was said there: what runs there is word for word what the code under test ran.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from lab.embedded.host import elf
from lab.embedded.host.tools import Tools
from lab.embedded.images import cpio, modules
from lab.embedded.images.build import build_guest

MODULES = ("bridge", "veth", "8021q")
PROGRAMS = ("ip", "bridge", "nsenter", "unshare")
WHERE = "usr/local"
PATH = f"/{WHERE}/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
BOOT_SECONDS = 60.0
INIT = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
modprobe -a -q virtio_pci virtio_console
for name in {modules}; do insmod /{where}/modules/$name.ko; done
ip link set lo up
exec qemu-ga -m virtio-serial -p /dev/vport?p1 -t /run
"""
SHIM = """#!{python} -IS
import json, os, socket, sys
channel = socket.socket(socket.AF_UNIX)
channel.connect({path!r})
with channel.makefile("rw") as file:
    file.write(json.dumps([os.path.basename(sys.argv[0]), sys.argv[1:], sys.stdin.read()]) + "\\n")
    file.flush()
    code, out, err = json.loads(file.readline())
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""


class Kernel:
    """The kernel as a place to run commands in, through QEMU's guest agent."""

    def __init__(self, channel: IO[bytes]) -> None:
        self._file = channel
        self._lock = threading.Lock()
        self._ask("guest-ping")

    def _ask(self, command: str, **arguments: Any) -> Any:
        with self._lock:
            self._file.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
            self._file.flush()
            answer = json.loads(self._file.readline())
        assert "return" in answer, answer
        return answer["return"]

    def run(self, argv: Sequence[str], given: str = "") -> tuple[int, str, str]:
        """Exit status, output and errors of a command there."""
        pid = self._ask(
            "guest-exec", path=argv[0], arg=list(argv[1:]), env=[f"PATH={PATH}"],
            **{"capture-output": True, "input-data": base64.b64encode(given.encode()).decode()},
        )["pid"]  # fmt: skip
        while not (status := self._ask("guest-exec-status", pid=pid))["exited"]:
            time.sleep(0.02)
        out, err = (base64.b64decode(status.get(key, "")).decode() for key in ("out-data", "err-data"))
        return status.get("exitcode", -1), out, err

    def must(self, *argv: str) -> str:
        """What a command prints there, once it ended well."""
        code, out, err = self.run(argv)
        assert code == 0, (argv, out, err)
        return out


@contextlib.contextmanager
def booted(tools: Tools, cache: Path, folder: Path) -> Iterator[Kernel]:
    """The kernel with the modules and programs above, for as long as the block lasts."""
    initrd = folder / "initrd"
    initrd.write_bytes(_initrd(tools, build_guest(tools, cache, progress=print).initrd))
    data = [part for place in os.environ["VIRTLAB_QEMU_DATA"].split(":") if place for part in ("-L", place)]
    agent = folder / "agent"
    argv = [
        *("qemu-system-x86_64", *data, "-accel", "tcg,tb-size=64", "-cpu", "max", "-M", "pc", "-m", "160"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-smp", "1,maxcpus=2"),
        *("-kernel", str(tools.kernel), "-initrd", str(initrd)),
        *("-append", "console=ttyS0 quiet panic=1 cryptomgr.notests rdinit=/machine"),
        *("-serial", f"file:{folder}/console"),
        *("-device", "virtio-serial-pci", "-chardev", f"socket,id=agent,path={agent},server=on,wait=off"),
        *("-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"),
    ]
    with subprocess.Popen(argv) as qemu:
        try:
            with _connected(agent) as channel, channel.makefile("rwb") as file:
                yield Kernel(file)
        finally:
            qemu.kill()


def _connected(path: Path) -> socket.socket:
    deadline = time.monotonic() + BOOT_SECONDS
    while True:
        channel = socket.socket(socket.AF_UNIX)
        try:
            channel.connect(str(path))
            channel.settimeout(BOOT_SECONDS)
            return channel
        except OSError:
            channel.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _initrd(tools: Tools, guest: Path) -> bytes:
    # The kernel unpacks archives one after the other, each beginning at a multiple of four bytes.
    base = guest.read_bytes()
    programs = [Path(os.path.realpath(shutil.which(name) or name)) for name in PROGRAMS]
    entries = [
        cpio.file(f"{WHERE}/sbin/{name}", path.read_bytes(), 0o755)
        for name, path in zip(PROGRAMS, programs, strict=True)
    ]
    for name, path in elf.libraries(programs, tools.lib_folders).items():
        target = name.lstrip("/") if name.startswith("/") else f"lib/x86_64-linux-gnu/{name}"
        entries.append(cpio.file(target, path.read_bytes(), 0o755))
    found = modules.collect(tools.modules, MODULES)
    entries += [cpio.file(f"{WHERE}/modules/{name}.ko", content) for name, content in found.items()]
    entries.append(cpio.file("machine", INIT.format(modules=" ".join(found), where=WHERE).encode(), 0o755))
    return base + bytes(-len(base) % 4) + cpio.archive(entries)


@contextlib.contextmanager
def place(kernel: Kernel, folder: Path) -> Iterator[str]:
    """A folder of programs that run there, to be put first on PATH."""
    path = folder / "door"

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            program, words, given = json.loads(self.rfile.readline())
            self.wfile.write(json.dumps(kernel.run([program, *words], given)).encode() + b"\n")

    shims = folder / "shims"
    shims.mkdir()
    for name in PROGRAMS:
        (shims / name).write_text(SHIM.format(python=sys.executable, path=str(path)))
        (shims / name).chmod(0o755)
    with socketserver.ThreadingUnixStreamServer(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield str(shims)
        finally:
            server.shutdown()
            thread.join()
