"""Secrets planted everywhere: in objects, logs, consoles, files of guests; none may be found in what was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.evidence.collect import dump, plain
from lab.evidence.nodes import MARK, SUBJECTS, parts, script
from lab.evidence.redact import HIDDEN, Redactor
from lab.evidence.tasks import Task, run_tasks

PLANTED = {
    "password": "hunter2-PLANTED",
    "hash": "$6$rounds=4096$PLANTEDsalt$PLANTEDhashPLANTEDhash",
    "jwt": "eyJhbGciOiJSUzI1NiJ9.eyJwbGFudGVkIjoxfQ.PLANTEDsignature",
    "pem": "-----BEGIN OPENSSH PRIVATE KEY-----\nPLANTEDkey\nPLANTEDkey\n-----END OPENSSH PRIVATE KEY-----",
    "openshift": "sha256~PLANTEDPLANTEDPLANTEDPLANTED",
    "known": "PLANTED-known-outright",
}
USER_DATA = f"#cloud-config\npassword: {PLANTED['password']}\nchpasswd:\n  list: |\n    root:{PLANTED['hash']}\n"
OBJECTS: list[dict[str, Any]] = [
    {
        "kind": "VirtualMachine",
        "metadata": {
            "name": "vm-a",
            "managedFields": [1],
            "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": f'{{"userData":"{PLANTED["password"]}"}}'
            },
        },
        "spec": {"volumes": [{"cloudInitNoCloud": {"userData": USER_DATA, "networkData": "version: 2"}}]},
    },
    {
        "kind": "Pod",
        "spec": {
            "containers": [
                {
                    "env": [{"name": "DB_PASSWORD", "value": PLANTED["password"]}, {"name": "HOME", "value": "/root"}],
                    "args": [f"--token={PLANTED['jwt']}", f"--url=https://u:{PLANTED['password']}@example.org/"],
                }
            ],
            "imagePullSecrets": [{"name": "pull"}],
        },
    },
    {
        "kind": "Secret",
        "metadata": {"name": "s"},
        "data": {"x": "UExBTlRFRA=="},
        "stringData": {"x": PLANTED["password"]},
    },
    {
        "kind": "Event",
        "message": f"curl -H 'Authorization: Bearer {PLANTED['openshift']}' failed; key {PLANTED['pem']}",
    },
]
TEXTS = [
    f"login: virtlab\nPassword: {PLANTED['password']}\n",
    f"root:{PLANTED['hash']}:19000:0:99999:7:::\n",
    f"export TOKEN={PLANTED['jwt']} secret='{PLANTED['password']}' api_key=\"{PLANTED['password']}\"",
    f'{{"access_token": "{PLANTED["password"]}", "user": "x"}}',
    f"cat id_ed25519\n{PLANTED['pem']}\n$ ",
    f"plainly {PLANTED['known']} in a sentence",
    PLANTED["pem"][:60],
]


def test_nothing_planted_is_found_in_what_was_written(tmp_path: Path) -> None:
    redactor = Redactor([PLANTED["known"], "short"])
    tasks = [Task("objects/all.yaml", lambda: dump(OBJECTS, redactor))]
    tasks += [Task(f"texts/{n}.txt", lambda text=text: plain(text)) for n, text in enumerate(TEXTS)]  # type: ignore[misc]

    def failing() -> str:
        raise ValueError(f"password: {PLANTED['password']}")

    missing = run_tasks([*tasks, Task("broken.txt", failing)], tmp_path, 10, redactor)
    written = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(written) == len(tasks) + 1
    found = [f"{path.name}: {text}" for path, text in written.items() if "PLANTED" in text or "UExBTlRFRA" in text]
    assert found == []
    assert "PLANTED" not in "".join(missing)


def test_what_is_no_secret_stays(tmp_path: Path) -> None:
    redactor = Redactor(["virtlab"])
    kept = yaml.safe_load(dump(OBJECTS[:1], redactor))
    assert kept["spec"]["volumes"][0]["cloudInitNoCloud"] == {"userData": HIDDEN, "networkData": "version: 2"}
    env = redactor.value(OBJECTS[1])["spec"]["containers"][0]["env"]
    assert env == [{"name": "DB_PASSWORD", "value": HIDDEN}, {"name": "HOME", "value": "/root"}]
    text = "policy virtlab: Available\nsecretName: pull\nssh-ed25519 AAAA public@key\nmac 0a:58:0a:80:00:02\n$5 coins"
    assert redactor.text(text) == text


@pytest.mark.parametrize("key", ["userDataSecretRef", "secretName", "tokenName"])
def test_a_reference_to_a_secret_is_none(key: str) -> None:
    assert Redactor().value({key: "name-of-it"}) == {key: "name-of-it"}


def test_readings_of_a_node_come_apart_again() -> None:
    output = f"{MARK}ip-link\n1: lo: <UP>\n{MARK}ovs-bonds\n\n{MARK}ovs-fdb\n# br1\n port VLAN\n"
    assert parts(output) == {"ip-link.txt": "1: lo: <UP>\n", "ovs-fdb.txt": "# br1\n port VLAN\n"}
    assert all(f"'{MARK}{name}'" in script() for name in SUBJECTS)


def test_a_reading_may_be_several_files_and_empty_ones_are_left_out(tmp_path: Path) -> None:
    files: list[str] = []
    tasks = [Task("nodes/w1", lambda: {"a.txt": "A", "b.txt": "  \n"}), Task("c.txt", lambda: "")]
    assert run_tasks(tasks, tmp_path, 5, files=files) == []
    assert files == ["index.txt", "nodes/w1/a.txt"]
    assert (tmp_path / "nodes" / "w1" / "a.txt").read_text() == "A"
