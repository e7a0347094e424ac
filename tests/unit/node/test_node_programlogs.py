"""Which words of the agent a system pod's container shows."""

from __future__ import annotations

import logging
from pathlib import Path

from lab.embedded.node import programlogs
from lab.embedded.node.containers import parse
from lab.embedded.node.nodeobject import SYSTEM_PODS
from lab.embedded.node.programlogs import COMPONENTS, DAEMONS, ComponentLogs, path_of


def test_every_container_of_a_system_pod_has_a_log() -> None:
    assert {name for pod in SYSTEM_PODS for name in pod.containers} == {*COMPONENTS, *DAEMONS}


def test_every_logger_is_that_of_a_module_there_is() -> None:
    folder = Path(programlogs.__file__).parent
    for name in (name for names in COMPONENTS.values() for name in names if name.startswith("lab.")):
        module = folder / name.removeprefix("lab.embedded.node.")
        assert module.is_dir() or module.with_suffix(".py").is_file(), name


def test_words_go_to_the_container_of_who_says_them(tmp_path: Path) -> None:
    handler = ComponentLogs(tmp_path)
    for name, text in (
        ("lab.embedded.node.nmstate.apply", "applying: add-br"),
        ("virtlab.api.VirtualMachineInstance", "ns/vm-a: phase Running"),
        ("lab.embedded.node.ovnkube", "port p enabled\non two lines"),
        ("lab.embedded.node.kubelet", "nobody's"),
        ("lab.embedded.node.guestagentlike", "nobody's"),
    ):
        handler.handle(logging.LogRecord(name, logging.INFO, "", 0, text, None, None))
    said = {
        container: [found[1].decode() for line in path_of(tmp_path, container).read_bytes().splitlines()
                    if (found := parse(line))]
        for container in COMPONENTS
    }  # fmt: skip
    assert said == {
        "nmstate-handler": ["I lab.embedded.node.nmstate.apply: applying: add-br\n"],
        "virt-handler": ["I virtlab.api.VirtualMachineInstance: ns/vm-a: phase Running\n"],
        "ovnkube-controller": ["I lab.embedded.node.ovnkube: port p enabled\n", "on two lines\n"],
    }


def test_lines_of_a_daemon_are_understood() -> None:
    line = b"2026-05-26T05:42:25.652Z|00012|binding|INFO|Claiming lport p for this chassis."
    assert parse(line) == ("2026-05-26T05:42:25.652Z", line + b"\n")
