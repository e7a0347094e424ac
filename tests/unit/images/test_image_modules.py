"""Kernel modules: which a guest needs, in which order, from a package of the distribution."""

import gzip
from pathlib import Path

import pytest

from lab.embedded.errors import ToolError
from lab.embedded.images import modules


def module(*needs: str) -> bytes:
    return b"\x7fELF..\0license=GPL\0depends=" + ",".join(needs).encode() + b"\0name=x\0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, needs in {"virtio": ["virtio_ring"], "virtio-ring": [], "virtio_pci": ["virtio_ring", "virtio"]}.items():
        (tmp_path / f"{name}.ko").write_bytes(module(*needs))
    (tmp_path / "isofs.ko.gz").write_bytes(gzip.compress(module("cdrom")))
    (tmp_path / "modules.builtin").write_text("kernel/drivers/cdrom/cdrom.ko\n")
    return tmp_path


def test_dependencies_come_along_and_first(folder: Path) -> None:
    assert list(modules.collect(folder, ["virtio_pci"])) == ["virtio_ring", "virtio", "virtio_pci"]


def test_what_is_built_in_is_left_out_and_packed_modules_are_unpacked(folder: Path) -> None:
    assert modules.collect(folder, ["isofs", "cdrom"]) == {"isofs": module("cdrom")}


def test_the_index_lists_the_most_basic_module_last(folder: Path) -> None:
    found = modules.index(modules.collect(folder, ["virtio_pci"]))
    assert "virtio_pci.ko: virtio.ko virtio_ring.ko\n" in found
    assert "virtio_ring.ko:\n" in found


def test_a_missing_module_is_named(folder: Path) -> None:
    with pytest.raises(ToolError, match=r"virtio_net.*neither among the 4 modules nor built in"):
        modules.collect(folder, ["virtio_net"])


def test_signatures_are_taken_off() -> None:
    signed = b"module" + b"sig" + bytes(8) + (3).to_bytes(4, "big") + b"~Module signature appended~\n"
    assert modules.unsigned(signed) == b"module"
    assert modules.unsigned(b"module") == b"module"
