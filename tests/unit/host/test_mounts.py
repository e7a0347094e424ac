"""Mounts in namespaces of the test's own: what a node has for itself, and what of the host it cannot write."""

import subprocess
import sys
from pathlib import Path

import pytest

from lab.embedded.host.mounts import mount_points, outermost

ROOT = Path(__file__).resolve().parents[3]


def inside(script: str, *words: str) -> str:
    """Run Python as root of fresh user and mount namespaces; what it printed."""
    argv = ["unshare", "--user", "--map-root-user", "--mount", "--propagation=private", "--", sys.executable, "-c"]
    done = subprocess.run([*argv, script, *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


OWN = """
import sys
from pathlib import Path
from lab.embedded.host.mounts import mount, own_folder
base = Path(sys.argv[1])
mount("tmpfs", str(base / "etc/mounted"))
(base / "etc/mounted/there").touch()
mount("tmpfs", str(base / "run"))
own_folder(base / sys.argv[2], base / "run/scratch", [base / "etc/kept"])
print(sorted(path.name for path in (base / "etc").iterdir()))
(base / sys.argv[2] / "profile").touch()
(base / "etc/other").touch()
(base / "etc/kept/console").touch()
print(sorted(path.name for path in (base / "etc/mounted").iterdir()))
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for folder in ("etc/kept", "etc/mounted", "etc/there", "run"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/there/of-the-host").touch()
    return tmp_path


def test_a_folder_that_the_host_has_not(base: Path) -> None:
    said = inside(OWN, str(base), "etc/NetworkManager").splitlines()
    assert said == ["['NetworkManager', 'kept', 'mounted', 'there']", "['there']"]
    assert not (base / "etc/NetworkManager").exists()
    assert not (base / "etc/other").exists()
    assert (base / "etc/kept/console").exists(), "what the host must see is written on the host"


def test_a_folder_that_the_host_has_is_empty_for_the_node(base: Path) -> None:
    inside(OWN, str(base), "etc/there")
    assert [path.name for path in (base / "etc/there").iterdir()] == ["of-the-host"]


READ_ONLY = """
import sys
from pathlib import Path
from lab.embedded.host.mounts import bind, detach, make_read_only, mount
base = Path(sys.argv[1])
mount("tmpfs", str(base / "etc/mounted"))
bind(base / "etc", base / "run")
make_read_only(base / "run")
(base / "run/mounted/writable").touch()
try:
    (base / "run/file").touch()
except OSError as error:
    print(error.strerror)
(base / "etc/file").touch()
detach(base / "run")
print(sorted(path.name for path in (base / "run").iterdir()))
"""


def test_a_read_only_bind_leaves_the_source_and_what_is_mounted_below(base: Path) -> None:
    assert inside(READ_ONLY, str(base)).splitlines() == ["Read-only file system", "[]"]
    assert (base / "etc/file").exists()


def test_mount_points_are_read_as_the_kernel_writes_them(tmp_path: Path) -> None:
    info = tmp_path / "mountinfo"
    info.write_text("22 27 0:21 / /proc rw - proc proc rw\n23 27 0:22 / /mnt/a\\040b\\134c rw - tmpfs t rw\n")
    assert mount_points(info) == [Path("/proc"), Path("/mnt/a b\\c")]


def test_the_outermost_of_folders() -> None:
    places = [Path(text) for text in ("/a/b/c", "/a/b", "/a/bc", "/d", "/d")]
    assert outermost(places) == [Path("/a/b"), Path("/a/bc"), Path("/d")]
