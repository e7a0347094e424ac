"""Programs on PATH for the tests of `virtlab kind`: each tells a log what it was called with, and answers as scripted.

The container engine remembers what was made: containers with their mounts and labels, images. kind makes such
containers and, at the end, a kubeconfig that leads to the test's API server.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml

PROGRAM = """#!{python}
import json, os, pathlib, sys
here = pathlib.Path({folder!r})
name, argv = {name!r}, sys.argv[1:]
with open(here / "log", "a") as log:
    log.write(json.dumps([name, *argv]) + "\\n")
script = json.loads((here / "script").read_text())
for entry in script["fail"]:
    if entry["words"] == [name, *argv][: len(entry["words"])]:
        print(entry["says"], file=sys.stderr)
        sys.exit(1)
state = here / "containers"
containers = json.loads(state.read_text()) if state.exists() else {{}}


def keep():
    state.write_text(json.dumps(containers))


def option(word):
    return argv[argv.index(word) + 1]


def engine():
    if argv[0] == "inspect":
        made = containers.get(argv[-1])
        if made is None:
            sys.exit("Error response from daemon: No such container: " + argv[-1])
        form = option("--format") if "--format" in argv else ""
        answers = {{
            "{{{{json .Mounts}}}}": json.dumps(made["mounts"]),
            "{{{{json .Config.Labels}}}}": json.dumps(made["labels"]),
            "{{{{.State.Pid}}}}": "4711",
        }}
        print(answers.get(form, "[]"))
    elif argv[:2] == ["image", "inspect"]:
        sys.exit(0 if argv[-1] in containers.get("images", []) else 1)
    elif argv[0] == "build":
        containers.setdefault("images", []).append(option("--tag"))
    elif argv[0] == "run":
        key, _, value = option("--label").partition("=")
        containers[option("--name")] = {{"mounts": [], "labels": {{key: value}}, "links": []}}
    elif argv[0] == "rm":
        containers.pop(argv[-1])
    elif argv[0] == "ps":
        print("\\n".join(n for n, c in containers.items() if n != "images" and "mounts" in c and c["mounts"]))
    elif argv[0] == "exec":
        made = containers.get(argv[1])
        if made is None:
            sys.exit("Error response from daemon: No such container: " + argv[1])
        inside = argv[2:]
        if inside[:4] == ["ip", "link", "show", "dev"]:
            sys.exit(0 if inside[4] in made["links"] else 1)
        if inside[:4] == ["ip", "link", "add", "dev"] and inside[-1] == "4711":
            for worker, c in containers.items():
                if worker != "images" and worker.endswith("worker" if inside[4][1] == "1" else "worker" + inside[4][1]):
                    c["links"].append(inside[9])
        if inside[:2] == ["ovs-appctl", "version"] or inside[:3] == ["ip", "netns", "exec"]:
            sys.exit(0 if made.get("started") else 1)
        if inside[:1] == ["ovs-vswitchd"]:
            made["started"] = True


def kind():
    if argv == ["version"]:
        print(script["kind"])
    elif argv[:2] == ["create", "cluster"]:
        sys.path.append({packages!r})
        import yaml
        config = yaml.safe_load(pathlib.Path(option("--config")).read_text())
        names = [config["name"] + "-control-plane"]
        for number in range(1, len(config["nodes"])):
            names.append(config["name"] + "-worker" + (str(number) if number > 1 else ""))
        for name, node in zip(names, config["nodes"]):
            mounts = [{{"Source": m["hostPath"], "Destination": m["containerPath"]}} for m in node["extraMounts"]]
            containers[name] = {{"mounts": mounts, "labels": {{}}, "links": []}}
        pathlib.Path(option("--kubeconfig")).write_text((here / "kubeconfig").read_text())
    elif argv[:2] == ["delete", "cluster"]:
        for name in [n for n in containers if n.startswith(option("--name") + "-") and not n.endswith("-switch")]:
            containers.pop(name)


if name == "docker" or name == "podman":
    engine()
elif name == "kind":
    kind()
elif name == "kubectl" and "jsonpath" in " ".join(argv):
    print("172.18.0.2")
elif name == "git" and "checkout" in argv:
    chart = pathlib.Path(argv[1]) / argv[-1] / "Chart.yaml"
    chart.parent.mkdir(parents=True)
    chart.write_text("name: ovn-kubernetes")
keep()
"""
PACKAGES = str(Path(yaml.__file__).parents[1])
NAMES = ("docker", "kind", "kubectl", "helm", "git")


class Programs:
    """The folder of programs; what was called, and what is to fail."""

    def __init__(self, folder: Path, kubeconfig: str = "") -> None:
        self.folder = folder
        folder.mkdir()
        self.script = {"kind": "kind v0.33.0 go1.25.0 linux/amd64", "fail": []}
        (folder / "kubeconfig").write_text(kubeconfig)
        for name in NAMES:
            self.add(name)
        self._write()

    def add(self, name: str) -> None:
        program = self.folder / name
        program.write_text(PROGRAM.format(python=sys.executable, folder=str(self.folder), name=name, packages=PACKAGES))
        program.chmod(0o755)

    def fail(self, *words: str, says: str = "no") -> None:
        """Every call that begins so."""
        self.script["fail"] = [{"words": list(words), "says": says}]
        self._write()

    def heal(self) -> None:
        self.script["fail"] = []
        self._write()

    def kind_is(self, version: str) -> None:
        self.script["kind"] = version
        self._write()

    def _write(self) -> None:
        (self.folder / "script").write_text(json.dumps(self.script))

    @property
    def calls(self) -> list[list[str]]:
        log = self.folder / "log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def forget(self) -> None:
        (self.folder / "log").unlink(missing_ok=True)

    @property
    def containers(self) -> dict[str, dict[str, object]]:
        state = self.folder / "containers"
        return json.loads(state.read_text()) if state.exists() else {}

    def pretend(self, containers: dict[str, object]) -> None:
        (self.folder / "containers").write_text(json.dumps(containers))
