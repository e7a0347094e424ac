"""Judging what a guest made of its cloud-init data: each part is done, or somebody says that it is not.

Whether it is done is asked of the guest; who says so else is an event of the platform: nobody reads a guest's log.
"""

from __future__ import annotations

from collections.abc import Sequence

from lab.access.kinds import EVENT, Obj
from lab.core.deadline import Deadline
from lab.core.errors import ProductFailure, WaitTimeout
from lab.core.wait import Seen, Signal, wait_until
from lab.topology.scene import Scene

NAMED_S = 30.0


def printed(scene: Scene, name: str, rows: Sequence[tuple[str, str]]) -> None:
    """Raises ProductFailure with each command of *rows* that does not print over the console what stands beside it."""
    seen = scene.over_console(name, [command for command, _ in rows])
    wrong = [
        f"{command}: {result.stdout.strip()!r} instead of {wanted!r}"
        for (command, wanted), result in zip(rows, seen, strict=True)
        if result.stdout.strip() != wanted
    ]
    if wrong:
        raise ProductFailure(f"{scene.guest(name)} made by its cloud-init data", "; ".join(wrong))


def done_or_named(scene: Scene, name: str, rows: Sequence[tuple[str, str]]) -> None:
    """Each part (its command succeeds in the guest) is done, or an event of the VM names it.

    Raises ProductFailure with the parts that are neither.
    """
    results = scene.over_console(name, [proof for _, proof in rows])
    undone = [part for (part, _), result in zip(rows, results, strict=True) if not result.ok]
    if not undone:
        scene.site.say([f"{name} did {', '.join(part for part, _ in rows)}"])
        return
    guest, signal = scene.guest(name), Signal()
    with scene.site.client.watch(EVENT, "", guest.namespace, signal=signal) as watch:

        def observe() -> Seen[str]:
            while watch.take(0):
                pass
            said = [text for event in watch.items.values() if (text := _said_of(name, event))]
            missing = [part for part in undone if not any(part in text for text in said)]
            about = [text for text in said if any(part in text for part in undone)]
            return Seen(f"nothing of {', '.join(missing)}" if missing else "all of them", not missing, "; ".join(about))

        try:
            said = wait_until(
                f"events of {guest}",
                f"what the guest did not do of its cloud-init data named: {', '.join(undone)}",
                observe,
                deadline=Deadline.after(NAMED_S),
                changes=signal,
            )
        except WaitTimeout as error:
            raise ProductFailure(
                f"{', '.join(undone)} of its cloud-init data done by {guest}, or an event that names it", error.last
            ) from error
    scene.site.say([said or ""])


def _said_of(name: str, event: Obj) -> str:
    return str(event.get("message", "")) if (event.get("involvedObject") or {}).get("name") == name else ""
