"""Finding tools with a scripted package client on PATH: what is fetched, what is kept, what is said when it fails."""

import contextlib
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.embedded.errors import ToolError, UsageError
from lab.embedded.host import elf, extras, packages, tools
from lab.embedded.host.needs import Need, misfit
from lab.embedded.host.packages import Package, kernel_names, planned

APT_GET = r"""#!/bin/sh
echo "apt-get $*" >> "$FAKE/log"
for word; do case $word in -oDir::State::lists=*) lists=${word#*=} ;; esac; done
case " $* " in
*" update "*) [ -e "$FAKE/no-network" ] && { echo "E: Could not resolve host" >&2; exit 100; }
  : > "$lists/x_Packages" ;;
*" install "*) [ -e "$FAKE/unresolvable" ] && { echo "E: Unable to locate package frob" >&2; exit 100; }
  echo "Inst frob (1.2-3 Debian:12 [amd64])"; echo "Conf frob (1.2-3 Debian:12 [amd64])" ;;
*" download "*) [ -e "$FAKE/no-download" ] && { echo "E: 404 Not Found" >&2; exit 100; }
  for word; do case $word in -*|*/*) ;; *=*) : > "${word%=*}.deb" ;; esac; done ;;
esac
"""
APT_CACHE = r"""#!/bin/sh
for last; do :; done
case $last in
linux-image-cloud-amd64) echo "Version: 6"; echo "Depends: linux-image-6.1.0-9-cloud-amd64 (= 6)" ;;
*) echo "Version: 6.1" ;;
esac
"""
DPKG_DEB = r"""#!/bin/sh
[ -e "$FAKE/damaged" ] && { echo "dpkg-deb: error: not a Debian format archive" >&2; exit 2; }
case $2 in
*frob.deb) mkdir -p "$3/usr/bin"; printf '#!/bin/sh\necho frob 2.0\n' > "$3/usr/bin/frob"
  chmod 755 "$3/usr/bin/frob" ;;
*linux-image*) mkdir -p "$3/boot" "$3/lib/modules/6.1.0-9-cloud-amd64"; : > "$3/boot/vmlinuz-6.1.0-9-cloud-amd64" ;;
esac
"""


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


class Host:
    """A host whose PATH is one folder with a scripted package client."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.bin, self.cache = folder, folder / "bin", folder / "cache"
        for name, text in {"apt-get": APT_GET, "apt-cache": APT_CACHE, "dpkg-deb": DPKG_DEB}.items():
            program(self.bin / name, text)
        for variable in ("LD_LIBRARY_PATH", "VIRTLAB_QEMU_DATA", "OVS_PKGDATADIR", "OVN_PKGDATADIR"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv("FAKE", str(folder))
        monkeypatch.setenv("PATH", f"{self.bin}:/usr/bin:/bin")
        monkeypatch.setattr(tools, "_SYSTEM_FOLDERS", ())
        needs = {"core": (Need("frob", "frob", (1, 5)),), "more": (Need("frob", "frob", (2,)), Need("sh", "dash"))}
        monkeypatch.setattr(tools, "GROUPS", needs)
        monkeypatch.setattr(extras, "GROUPS", needs)
        monkeypatch.setattr(tools, "_os_release", lambda: {"ID": "debian", "PRETTY_NAME": "Debian 12"})

    def find(self, *, offline: bool = False) -> tools.Tools:
        return tools.find_tools(self.cache, progress=lambda _: None, offline=offline)

    def fetch(self, group: str = "more", *, offline: bool = False) -> dict[str, Path]:
        return extras.fetch(self.cache, group, progress=lambda _: None, offline=offline)

    def log(self) -> list[str]:
        log = self.folder / "log"
        return log.read_text().splitlines() if log.exists() else []

    def leftovers(self) -> list[str]:
        return [path.name for path in self.cache.glob(".new-*")]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def test_what_is_missing_is_unpacked_and_on_path(host: Host) -> None:
    found = host.find()
    assert found.root is not None
    assert found.path("frob") == found.root / "usr/bin/frob"
    assert found.kernel == found.root / "boot/vmlinuz-6.1.0-9-cloud-amd64"
    assert found.modules == found.root / "lib/modules/6.1.0-9-cloud-amd64"
    assert found.env["VIRTLAB_TOOLS_ROOT"] == str(found.root)
    assert host.leftovers() == []


def test_the_second_run_starts_nothing(host: Host) -> None:
    first = host.find()
    before = host.log()
    assert host.find(offline=True) == first
    assert host.log() == before


def test_a_fitting_program_of_the_host_is_used(host: Host) -> None:
    program(host.bin / "frob", "#!/bin/sh\necho frob 1.10\n")
    found = host.find()
    assert found.path("frob") == host.bin / "frob"
    assert not any(" install " in line for line in host.log())


def test_too_old_a_program_of_the_host_is_passed_over(host: Host) -> None:
    program(host.bin / "frob", "#!/bin/sh\necho frob 1.4.9\n")
    found = host.find()
    assert found.root is not None
    assert found.path("frob") == found.root / "usr/bin/frob"


@pytest.mark.parametrize("damage", ["usr/bin/frob", "boot/vmlinuz-6.1.0-9-cloud-amd64"])
def test_a_cache_with_a_file_gone_heals(host: Host, damage: str) -> None:
    root = host.find().root
    assert root is not None
    (root / damage).unlink()
    again = host.find()
    assert again.root == root
    assert (root / damage).exists()


def test_a_program_that_came_to_the_host_since_makes_it_look_again(host: Host) -> None:
    host.find()
    program(host.bin / "frob", "#!/bin/sh\necho frob 3.0\n")
    assert host.find().path("frob") == host.bin / "frob"


def test_a_damaged_stamp_is_made_anew(host: Host) -> None:
    host.find()
    (stamp,) = host.cache.glob("tools-core-*.json")
    stamp.write_text('{"facts": ')
    before = host.log()
    host.find()
    assert not any(" download " in line for line in host.log()[len(before) :])


@pytest.mark.parametrize("trouble", ["no-download", "damaged"])
def test_a_failed_fetch_leaves_nothing_and_the_next_one_works(host: Host, trouble: str) -> None:
    (host.folder / trouble).touch()
    with pytest.raises(ToolError, match=r"404 Not Found|not a Debian format archive"):
        host.find()
    assert host.leftovers() == []
    assert list(host.cache.glob("root-*")) == []
    (host.folder / trouble).unlink()
    host.find()


def test_what_a_killed_run_left_is_swept(host: Host) -> None:
    (host.cache / ".new-killed/root").mkdir(parents=True)
    (host.cache / "root-000000000000").mkdir()
    root = host.find().root
    assert host.leftovers() == []
    assert list(host.cache.glob("root-*")) == [root]


@contextlib.contextmanager
def a_process(*argv: str | Path, **env: str) -> Iterator[None]:
    with subprocess.Popen(argv, env=env or None) as process:
        try:
            yield
        finally:
            process.kill()


@pytest.mark.parametrize("deleted", [False, True])
def test_a_root_that_a_process_runs_from_is_kept(host: Host, deleted: bool) -> None:
    root = host.cache / "root-111111111111"
    root.mkdir(parents=True)
    shutil.copy("/bin/sleep", root / "sleep")
    with a_process(root / "sleep", "60"):
        if deleted:
            (root / "sleep").unlink()
        host.find()
        assert root.exists()


def test_a_root_that_a_process_was_told_to_use_is_kept(host: Host) -> None:
    root = host.cache / "root-111111111111"
    root.mkdir(parents=True)
    with a_process("/bin/sleep", "60", VIRTLAB_TOOLS_ROOT=str(root)):
        host.find()
        assert root.exists()


def test_a_root_that_a_lab_was_started_with_is_kept(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    root, other = host.cache / "root-111111111111", host.cache / "root-222222222222"
    root.mkdir(parents=True)
    other.mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(host.folder / "state"))
    facts = host.folder / "state/virtlab/labs/mine/lab.json"
    facts.parent.mkdir(parents=True)
    facts.write_text(json.dumps({"env": {"VIRTLAB_TOOLS_ROOT": str(root)}}))
    host.find()
    assert root.exists()
    assert not other.exists()


def test_a_damaged_root_in_use_is_left_as_it_is_and_gets_a_successor(host: Host) -> None:
    first = host.find().root
    assert first is not None
    (first / "boot/vmlinuz-6.1.0-9-cloud-amd64").unlink()
    with a_process("/bin/sleep", "60", VIRTLAB_TOOLS_ROOT=str(first)):
        inode = first.stat().st_ino
        second = host.find().root
        assert second is not None
        assert second != first
        assert first.stat().st_ino == inode
        assert (second / "boot/vmlinuz-6.1.0-9-cloud-amd64").exists()
        assert host.find().root == second


def test_inside_the_environment_of_a_lab_the_same_is_decided(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = host.find()
    before = host.log()
    for variable, text in outside.env.items():
        monkeypatch.setenv(variable, text)
    assert host.find(offline=True) == outside
    assert host.log() == before


def test_tools_of_a_foreign_root_keep_their_libraries_and_data(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = host.folder / "elsewhere/root-333333333333"
    program(foreign / "usr/bin/frob", "#!/bin/sh\necho frob 2.0\n")
    libraries = foreign / "usr/lib/x86_64-linux-gnu"
    libraries.mkdir(parents=True)
    monkeypatch.setenv("PATH", f"{foreign}/usr/bin:{host.bin}:/usr/bin:/bin")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(libraries))
    monkeypatch.setenv("VIRTLAB_QEMU_DATA", f"{foreign}/usr/share/qemu")
    found = host.find()
    assert found.path("frob") == foreign / "usr/bin/frob"
    assert libraries in found.lib_folders
    assert found.env["LD_LIBRARY_PATH"] == str(libraries)
    assert found.env["VIRTLAB_QEMU_DATA"] == f"{foreign}/usr/share/qemu"


def test_another_configuration_gets_a_root_and_a_stamp_beside(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    first = host.find()
    with_frob = program(host.folder / "bin2/frob", "#!/bin/sh\necho frob 3.0\n").parent
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{with_frob}:{host.bin}:/usr/bin:/bin")
        second = host.find()
    before = host.log()
    assert second.root != first.root
    assert host.find() == first
    assert host.log() == before


def test_a_stamp_long_out_of_use_no_longer_keeps_its_root(host: Host) -> None:
    first = host.find().root
    assert first is not None
    (stamp,) = host.cache.glob("tools-core-*.json")
    os.utime(stamp, (0, 0))
    host.find()
    assert stamp.stat().st_mtime > 0
    os.utime(stamp, (0, 0))
    program(host.bin / "frob", "#!/bin/sh\necho frob 3.0\n")
    host.find()
    assert not stamp.exists()
    assert not first.exists()


def test_two_at_once_fetch_once(host: Host) -> None:
    found: list[tools.Tools] = []
    threads = [threading.Thread(target=lambda: found.append(host.find())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1]
    assert sum(" download " in line for line in host.log()) == 1


def test_offline_says_what_was_wanted_where_it_looked_and_what_to_try(host: Host) -> None:
    with pytest.raises(ToolError) as caught:
        host.find(offline=True)
    assert "frob is not on PATH" in str(caught.value)
    assert str(host.cache) in str(caught.value)
    assert "run once with the network" in str(caught.value)
    assert host.log() == []


def test_no_network_is_said(host: Host) -> None:
    (host.folder / "no-network").touch()
    with pytest.raises(ToolError, match=r"Could not resolve host[\s\S]*proxy"):
        host.find()


def test_another_distribution_is_told_the_programs(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(host.folder / "empty"))
    monkeypatch.setattr(tools, "_os_release", lambda: {"PRETTY_NAME": "Fedora 42"})
    with pytest.raises(ToolError, match=r"programs missing: frob; and a Debian kernel[\s\S]*Fedora 42"):
        host.find()


def test_an_unknown_package_is_said_with_the_clients_reason(host: Host) -> None:
    (host.folder / "unresolvable").touch()
    with pytest.raises(ToolError, match=r"Unable to locate package frob[\s\S]*universe"):
        host.find()


def test_installed_but_unusable_packages_are_fetched_all_the_same(host: Host) -> None:
    apt = packages.Apt(host.cache / "apt")
    assert apt.resolve(["frob", "gone"]) == [Package("frob", "1.2-3"), Package("gone", "6.1")]


def test_the_c_library_is_never_taken_along() -> None:
    text = "Inst libc6 [2.36-9+deb12u9] (2.36-9+deb12u13 Debian:12 [amd64]) []\n"
    text += "Inst libfoo:amd64 (1:2~b Debian:12 [amd64])\n"
    assert planned(text) == [Package("libfoo", "1:2~b")]


def test_a_newer_c_library_than_the_hosts_is_an_error() -> None:
    with pytest.raises(ToolError, match=r"libc6 2\.36-9[\s\S]*2\.41-1[\s\S]*newer release"):
        planned("Inst libc6 [2.36-9] (2.41-1 Debian:13 [amd64])\n")


def test_kernels_behind_meta_packages() -> None:
    text = "Package: linux-image-virtual\n"
    text += "Depends: linux-image-6.8.0-31-generic, linux-modules-6.8.0-31-generic, thermald\n"
    assert kernel_names(text) == ["linux-image-6.8.0-31-generic", "linux-modules-6.8.0-31-generic"]


def test_a_dynamic_busybox_will_not_do_in_the_guest() -> None:
    dynamic = Path("/bin/sh").resolve()
    assert not elf.read(dynamic).static
    assert misfit(Need("busybox", "busybox-static", static=True), dynamic) == f"{dynamic} is not statically linked"


def test_libraries_are_found_with_what_they_need_themselves() -> None:
    found = elf.libraries([Path("/bin/ls").resolve()], tools.host_lib_folders())
    assert any(name.startswith("libc.so") for name in found)
    assert any(name.startswith("/") for name in found)
    with pytest.raises(FileNotFoundError, match="needs the library"):
        elf.libraries([Path("/bin/ls").resolve()], [])


def test_a_text_file_is_no_elf(tmp_path: Path) -> None:
    with pytest.raises(elf.NotElf):
        elf.read(program(tmp_path / "x", "#!/bin/sh\n"))


def test_the_init_system_is_never_taken_along() -> None:
    text = "Inst systemd [252] (252.1 Debian:12 [amd64]) []\nInst udev (252.1 Debian:12 [amd64])\n"
    text += "Inst libsystemd0 [252] (252.1 Debian:12 [amd64])\n"
    assert planned(text) == [Package("libsystemd0", "252.1")]


def test_extras_are_found_by_a_lab_that_was_there_before(host: Host) -> None:
    path = host.find().env["PATH"]
    assert "more" not in " ".join(host.log())
    found = host.fetch()
    starter = host.cache / "extras/frob"
    assert found["frob"] == starter
    assert shutil.which("frob", path=f"{starter.parent}") == str(starter)
    assert str(starter.parent) in path.split(":")
    assert subprocess.run([starter], capture_output=True, text=True, check=True).stdout == "frob 2.0\n"


def test_extras_come_without_a_kernel_and_are_fetched_once(host: Host) -> None:
    host.fetch()
    before = host.log()
    assert not any("linux-image" in line for line in before)
    assert host.fetch(offline=True)["frob"] == host.cache / "extras/frob"
    assert host.log() == before


def test_extras_of_the_host_need_no_starter(host: Host) -> None:
    program(host.bin / "frob", "#!/bin/sh\necho frob 2.1\n")
    assert host.fetch(offline=True)["frob"] == host.bin / "frob"
    assert host.log() == []


def test_extras_survive_the_fetching_of_the_others(host: Host) -> None:
    host.fetch()
    host.find()
    before = host.log()
    host.fetch()
    assert host.log() == before


def test_extras_with_a_file_gone_heal(host: Host) -> None:
    host.fetch()
    (root,) = host.cache.glob("root-*")
    (root / "usr/bin/frob").unlink()
    host.fetch()
    assert (root / "usr/bin/frob").exists()


def test_inside_a_lab_a_starter_is_no_program_of_the_host(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.fetch()
    monkeypatch.setenv("PATH", f"{host.cache}/extras:{host.bin}:/usr/bin:/bin")
    before = host.log()
    assert host.fetch(offline=True)["frob"] == host.cache / "extras/frob"
    assert host.log() == before


def test_extras_without_the_network(host: Host) -> None:
    with pytest.raises(
        ToolError, match=r"missing: frob is not on PATH \(looked on PATH[\s\S]*run once with the network"
    ):
        host.fetch(offline=True)


def test_extras_that_nobody_knows(host: Host) -> None:
    with pytest.raises(UsageError, match=r"wanted tools that can be fetched: 'less'\s+try: one of more"):
        host.fetch("less")
