"""The image is read back by a reader written from the standard, not from the writer."""

import struct

from lab.embedded.node.isofs import SECTOR, iso_image


def listing(image: bytes, sector: int, size: int, joliet: bool) -> dict[str, tuple[int, int, bool]]:
    found, at = {}, sector * SECTOR
    end = at + size
    while at < end:
        length = image[at]
        if length == 0:
            at = (at // SECTOR + 1) * SECTOR
            continue
        extent, much = struct.unpack_from("<I", image, at + 2)[0], struct.unpack_from("<I", image, at + 10)[0]
        assert struct.unpack_from(">I", image, at + 6)[0] == extent
        raw = image[at + 33 : at + 33 + image[at + 32]]
        if raw not in (b"\0", b"\1"):
            name = raw.decode("utf-16-be") if joliet else raw.decode("ascii")
            found[name] = (extent, much, bool(image[at + 25] & 2))
        at += length
    return found


def root_of(image: bytes, sector: int) -> tuple[int, int]:
    record = sector * SECTOR + 156
    return struct.unpack_from("<I", image, record + 2)[0], struct.unpack_from("<I", image, record + 10)[0]


FILES = {
    "user-data": b"#cloud-config\n" * 300,
    "meta-data": b"{}",
    "openstack/latest/user_data": b"",
    "x": b"\0" * 2048,
}


def test_label_and_descriptors() -> None:
    image = iso_image("cidata", FILES)
    assert image[16 * SECTOR : 16 * SECTOR + 7] == b"\1CD001\1"
    assert image[16 * SECTOR + 40 : 16 * SECTOR + 72].strip() == b"cidata"
    assert image[17 * SECTOR : 17 * SECTOR + 7] == b"\2CD001\1"
    assert image[18 * SECTOR : 18 * SECTOR + 6] == b"\xffCD001"
    assert struct.unpack_from("<I", image, 16 * SECTOR + 80)[0] * SECTOR == len(image)


def test_files_by_joliet_name() -> None:
    image = iso_image("cidata", FILES)
    top = listing(image, *root_of(image, 17), True)
    assert set(top) == {"user-data", "meta-data", "openstack", "x"}
    sector, size, folder = top["user-data"]
    assert not folder
    assert image[sector * SECTOR : sector * SECTOR + size] == FILES["user-data"]
    inner = listing(image, *top["openstack"][:2], True)
    assert set(listing(image, *inner["latest"][:2], True)) == {"user_data"}


def test_plain_names_are_there_too() -> None:
    image = iso_image("cidata", FILES)
    assert "USER-DATA;1" in listing(image, *root_of(image, 16), False)


def test_equal_input_gives_equal_bytes() -> None:
    assert iso_image("cidata", FILES) == iso_image("cidata", dict(FILES))


def test_many_files_cross_a_sector() -> None:
    files = {f"file-with-a-long-name-{i:03}": bytes([i]) for i in range(120)}
    image = iso_image("many", files)
    assert set(listing(image, *root_of(image, 17), True)) == set(files)
