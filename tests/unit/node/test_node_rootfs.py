"""The files of a container with volumes of its node, built in namespaces of the test's own."""

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.embedded.errors import LabError
from lab.embedded.host import mounts
from lab.embedded.node import rootfs
from lab.embedded.node.rootfs import Volume, build, volumes

ROOT = Path(__file__).resolve().parents[3]
DEBUG: dict[str, Any] = {
    "spec": {
        "volumes": [{"name": "host", "hostPath": {"path": "/", "type": "Directory"}}, {"name": "free", "emptyDir": {}}],
        "containers": [
            {
                "name": "debugger",
                "volumeMounts": [
                    {"name": "host", "mountPath": "/host"},
                    {"name": "free", "mountPath": "/data", "readOnly": True},
                    {"name": "kube-api-access", "mountPath": "/var/run/secrets"},
                ],
            }
        ],
    }
}


def test_volumes_are_those_of_the_node() -> None:
    found = volumes(DEBUG, DEBUG["spec"]["containers"][0], Path("/scratch"))
    assert found == [
        Volume(Path("/scratch/free"), Path("/data"), True, "DirectoryOrCreate"),
        Volume(Path("/"), Path("/host"), False, "Directory"),
    ]


def test_a_container_without_volumes_of_the_node_has_none() -> None:
    assert volumes({"spec": {}}, {"name": "c"}, Path("/scratch")) == []


def test_a_source_that_is_not_there() -> None:
    with pytest.raises(LabError, match=r"wanted /no/such of the node as a volume: it does not exist"):
        build(Path("/unused"), [Volume(Path("/no/such"), Path("/host"), False)])


def test_a_source_of_another_type() -> None:
    with pytest.raises(LabError, match=r"hostPath type check failed: /etc is none"):
        build(Path("/unused"), [Volume(Path("/etc"), Path("/host"), False, "Socket")])


def test_nothing_is_made_on_the_machines_disk(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="that is this machine's disk"):
        build(Path("/unused"), [Volume(tmp_path / "made", Path("/host"), False, "DirectoryOrCreate")])
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("target", ["/../../made", "a/../../../made", "/link/made"])
def test_a_mount_path_never_leads_out_of_the_container(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, outside = tmp_path / "deep" / "root", tmp_path / "deep" / "outside"
    for folder in (root, outside):
        folder.mkdir(parents=True)
    (root / "link").symlink_to(outside)
    source = tmp_path / "source"
    source.write_text("x")
    # Nothing is mounted in the namespaces of whoever runs this.
    monkeypatch.setattr(mounts, "bind", lambda *_: None)
    with contextlib.suppress(OSError):
        rootfs._put(Volume(source, Path(target), False), root)
    assert not (tmp_path / "made").exists()
    assert list(outside.iterdir()) == []


def test_what_was_kept_of_a_pod_goes_but_never_through_a_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "pod"
    (folder / "c/root").mkdir(parents=True)
    (folder / "c.log").write_text("x")
    with monkeypatch.context() as patch:
        patch.setattr(mounts, "mount_points", lambda: [Path("/"), folder / "c/root"])
        rootfs.forget(folder)
    assert (folder / "c.log").exists()
    rootfs.forget(folder)
    assert not folder.exists()
    rootfs.forget(folder)


BUILT = """
import asyncio, sys
from pathlib import Path
from lab.embedded.host.mounts import mount
from lab.embedded.node.ownfiles import prepare
from lab.embedded.node.place import Place
from lab.embedded.host import mounts
from lab.embedded.node import rootfs
from lab.embedded.node.rootfs import Volume, build, remove
mount("tmpfs", "/run")
prepare([])
root = Path("/run/pods/1/debugger/root")
build(root, [Volume(Path("/"), Path("/host"), False)])
build(Path("/run/pods/2/debugger/root"), [Volume(Path("/"), Path("/host"), False)])

async def say(script):
    process = await Place(None, root).spawn(["sh", "-c", script], {}, None, None, None)
    await process.wait()

asyncio.run(say(sys.argv[1]))
remove(root)
print(root.exists())
"""
SCRIPT = """
ls -d /host/usr /host/run/pods
ls /host/run/pods/2/debugger/root
touch /host/usr/written; touch /usr/written; touch /tmp/written
chroot /host sh -c 'touch /etc/NetworkManager/profile /run/written; ls /etc/NetworkManager'
"""


def test_the_node_at_host_can_be_changed_where_it_is_the_nodes_own() -> None:
    argv = ["unshare", "--user", "--map-root-user", "--mount", "--net", "--propagation=private", "--", sys.executable]
    done = subprocess.run(
        [*argv, "-c", BUILT, SCRIPT], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines() == ["/host/run/pods", "/host/usr", "profile", "False"], done.stderr
    assert done.stderr.count("Read-only file system") == 2
    assert not Path("/usr/written").exists()
    assert not Path("/tmp/written").exists()
