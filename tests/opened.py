"""A running lab opened in this process, as the harness opens it: for tests and benches that want its parts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from lab.run import Lab
from lab.target.inventory import load
from lab.topology.scene import Scene
from tests.conftest import PLAIN_ENV, ROOT, RunningLab


@contextmanager
def environment(env: dict[str, str]) -> Iterator[None]:
    """The process' environment as it is for somebody who types commands."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update({**PLAIN_ENV, **env})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def traffic_scene(lab: RunningLab, name: str) -> Iterator[Scene]:
    """A VM, ``vm-a``, on VLAN 2024 of a bridge that forwards at once, up and reached."""
    with environment(lab.env):
        opened = Lab(load(ROOT / "targets/embedded.yaml"), name, lab.folder / name).open()
        try:
            site = opened.feature(name)
            scene = opened.scene(site, f"virtlab-{name}", ROOT / "features/migration_traffic/manifests")
            scene.policy("ovs-br1-vlan-trunk-without-stp")
            scene.start("vm-a", site.target.vlan(2024))
            scene.guest("vm-a")
            site.settle()
            yield scene
            scene.close()
        finally:
            opened.close()
