"""The loop: merging, one worker per key, retries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lab.embedded.kube import KubeError
from lab.embedded.operators.reconcile import Controller, Permanent, Temporary


class Scripted(Controller):
    """Plays one outcome per call; the last one is repeated."""

    def __init__(self, *outcomes: object) -> None:
        super().__init__("scripted")
        self.outcomes = list(outcomes)
        self.calls: list[str] = []
        self.inside: set[str] = set()
        self.gate = asyncio.Event()
        self.gate.set()

    async def reconcile(self, key: str) -> float | None:
        assert key not in self.inside
        self.inside.add(key)
        self.calls.append(key)
        await self.gate.wait()
        self.inside.discard(key)
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        assert outcome is None or isinstance(outcome, float)
        return outcome


async def until(condition: Callable[[], bool], seconds: float = 2.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 (the subject under test offers no event)
            await asyncio.sleep(0.001)


def play(subject: Scripted, calls: int, *keys: str) -> list[str]:
    async def scene() -> None:
        task = asyncio.create_task(subject.run())
        await asyncio.sleep(0)
        for key in keys:
            subject.enqueue(key)
        await until(lambda: len(subject.calls) >= calls)
        await subject.idle()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scene())
    return subject.calls


def test_equal_keys_merge_and_a_change_during_work_runs_once_more() -> None:
    async def scene() -> list[str]:
        subject = Scripted(None)
        subject.gate.clear()
        task = asyncio.create_task(subject.run())
        await asyncio.sleep(0)
        subject.enqueue("a")
        await until(lambda: subject.calls == ["a"])
        for _ in range(5):
            subject.enqueue("a")
        subject.enqueue("b")
        subject.gate.set()
        await subject.idle()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return sorted(subject.calls)

    assert asyncio.run(scene()) == ["a", "a", "b"]


def test_errors_are_retried_and_permanent_ones_are_not() -> None:
    conflict = KubeError(409, "Conflict", "stale")
    assert play(Scripted(conflict, Temporary("x", 0.01), ValueError("bug"), None), 4, "a") == ["a"] * 4
    assert play(Scripted(Permanent("no")), 1, "a") == ["a"]


def test_requeue_after() -> None:
    assert play(Scripted(0.01, None), 2, "a") == ["a", "a"]


def test_keys_before_the_start_are_kept() -> None:
    async def scene() -> list[str]:
        subject = Scripted(None)
        subject.enqueue("early")
        task = asyncio.create_task(subject.run())
        await until(lambda: subject.calls == ["early"])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return subject.calls

    assert asyncio.run(scene()) == ["early"]
