"""Programs on PATH for the tests of `virtlab kind`: each tells the test what it was called with, and answers as told.

A program is a few lines of shell that hand their words to a thread of the test and print what comes back. The container
engine remembers what was made: containers with their mounts, labels and links, and images. kind makes such containers
and, at the end, a kubeconfig that leads to the test's API server.
"""

from __future__ import annotations

import json
import socketserver
import threading
from pathlib import Path
from typing import Any

import yaml

PROGRAM = """#!/bin/bash
exec 3<>/dev/tcp/127.0.0.1/{port} || exit 97
printf '%s\\0' "$#" {name} "$@" >&3
read -r code <&3
if [ "$code" = 0 ]; then cat <&3; else cat <&3 >&2; fi
exit "$code"
"""
NAMES = ("docker", "kind", "kubectl", "helm", "git")
PID = "4711"


class Failed(Exception):
    """A program ends with 1 and says this."""


class Programs:
    """The folder of programs, `calls` to them, the engine's `containers`; `fail` and `kind_is` script them."""

    def __init__(self, folder: Path, kubeconfig: str = "") -> None:
        self.folder = folder
        folder.mkdir()
        self.calls: list[list[str]] = []
        self.containers: dict[str, dict[str, Any]] = {}
        self.images: list[str] = []
        self.kubeconfig = kubeconfig
        self._failing: tuple[tuple[str, ...], str] | None = None
        self._kind = "kind v0.33.0 go1.25.0 linux/amd64"
        programs = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                data = b""
                while data.count(b"\0") < 2 or data.count(b"\0") < int(data.split(b"\0")[0]) + 2:
                    data += self.request.recv(65536)
                code, said = programs.answer(data.decode().split("\0")[1:-1])
                self.wfile.write(f"{code}\n{said}".encode())

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        for name in NAMES:
            self.add(name)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, name: str) -> None:
        program = self.folder / name
        program.write_text(PROGRAM.format(port=self._server.server_address[1], name=name))
        program.chmod(0o755)

    def fail(self, *words: str, says: str = "no") -> None:
        """Every call that begins so."""
        self._failing = (words, says)

    def heal(self) -> None:
        self._failing = None

    def kind_is(self, version: str) -> None:
        self._kind = version

    def answer(self, call: list[str]) -> tuple[int, str]:
        """(exit status, what is printed)"""
        self.calls.append(call)
        if self._failing and tuple(call[: len(self._failing[0])]) == self._failing[0]:
            return 1, f"{self._failing[1]}\n"
        name, argv = call[0], call[1:]
        try:
            if name in ("docker", "podman"):
                return 0, self._engine(argv)
            if name == "kind":
                return 0, self._run_kind(argv)
        except Failed as failure:
            return 1, f"{failure}\n"
        if name == "git" and "checkout" in argv:
            chart = Path(argv[1]) / argv[-1] / "Chart.yaml"
            chart.parent.mkdir(parents=True)
            chart.write_text("name: ovn-kubernetes")
        return 0, "172.18.0.2\n" if name == "kubectl" and "jsonpath" in " ".join(argv) else ""

    def _container(self, name: str) -> dict[str, Any]:
        if name not in self.containers:
            raise Failed(f"Error response from daemon: No such container: {name}")
        return self.containers[name]

    def _engine(self, argv: list[str]) -> str:
        if argv[0] == "inspect":
            made = self._container(argv[-1])
            form = argv[argv.index("--format") + 1] if "--format" in argv else ""
            answers = {"{{json .Mounts}}": made["mounts"], "{{json .Config.Labels}}": made["labels"]}
            return PID if "Pid" in form else json.dumps(answers.get(form, []))
        if argv[:2] == ["image", "inspect"] and argv[-1] not in self.images:
            raise Failed(f"No such image: {argv[-1]}")
        if argv[0] == "build":
            self.images.append(argv[argv.index("--tag") + 1])
        if argv[0] == "run":
            key, _, value = argv[argv.index("--label") + 1].partition("=")
            self.containers[argv[argv.index("--name") + 1]] = {"mounts": [], "labels": {key: value}, "links": []}
        if argv[0] == "rm":
            del self.containers[argv[-1]]
        if argv[0] == "exec":
            self._exec(self._container(argv[1]), argv[2:])
        return "\n".join(n for n, made in self.containers.items() if made["mounts"]) if argv[0] == "ps" else ""

    def _exec(self, made: dict[str, Any], argv: list[str]) -> None:
        if argv[:4] == ["ip", "link", "show", "dev"] and argv[4] not in made["links"]:
            raise Failed(f'Device "{argv[4]}" does not exist.')
        if argv[:4] == ["ip", "link", "add", "dev"] and argv[-1] == PID:
            number = argv[4][1].replace("1", "")
            next(c for n, c in self.containers.items() if n.endswith(f"-worker{number}"))["links"].append(argv[9])
        if argv[0] == "ovs-vswitchd":
            made["started"] = True
        if (argv[0] == "ovs-appctl" or argv[:3] == ["ip", "netns", "exec"]) and not made.get("started"):
            raise Failed("it does not run")

    def _run_kind(self, argv: list[str]) -> str:
        if argv[:2] == ["create", "cluster"]:
            config = yaml.safe_load(Path(argv[argv.index("--config") + 1]).read_text())
            workers = [f"-worker{number if number > 1 else ''}" for number in range(1, len(config["nodes"]))]
            for suffix, node in zip(["-control-plane", *workers], config["nodes"], strict=True):
                mounts = [{"Source": m["hostPath"], "Destination": m["containerPath"]} for m in node["extraMounts"]]
                self.containers[config["name"] + suffix] = {"mounts": mounts, "labels": {}, "links": []}
            Path(argv[argv.index("--kubeconfig") + 1]).write_text(self.kubeconfig)
        if argv[:2] == ["delete", "cluster"]:
            name = argv[argv.index("--name") + 1]
            nodes = [n for n in self.containers if n.startswith(f"{name}-") and not n.endswith("-switch")]
            for node in nodes:
                del self.containers[node]
        return f"{self._kind}\n" if argv == ["version"] else ""
