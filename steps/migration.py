"""Sentences on live migration."""

from __future__ import annotations

from pytest_bdd import then, when

from lab.diagnosis import expect
from lab.topology.scene import Scene
from steps.types import sentence


@when(sentence("{name:VM} migrates to another worker"))
def migrates(scene: Scene, name: str) -> None:
    """Wherever the scheduler wants."""
    scene.migrate(name)


@when(sentence("{name:VM} migrates to a worker it has not been on"))
def migrates_to_new_worker(scene: Scene, name: str) -> None:
    """To the first such worker."""
    scene.migrate(name, scene.unvisited(name))


@when(sentence("{name:VM} migrates back to the worker it started on"))
def migrates_back(scene: Scene, name: str) -> None:
    """To its first worker."""
    scene.migrate(name, scene.guest(name).visited[0])


@then(sentence("{name:VM} has been on {count:d} workers and kept its MAC address"))
def has_been_on(scene: Scene, name: str, count: int) -> None:
    """As the platform reports it now."""
    expect.travelled(scene.guest(name), scene.state(name), count)
