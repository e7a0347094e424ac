"""Local copies of collections, kept true by list and watch.

An informer tells its subscribers what changed and lets others wait for a state; it never writes to the API.
Objects in `items` are shared: treat them as read-only, copy before changing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from lab.embedded.kube.client import Kube, Obj
from lab.embedded.kube.errors import KubeError
from lab.embedded.model.kinds import Kind

Callback = Callable[[str, Obj], None]
log = logging.getLogger(__name__)

RELIST_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0)


def key_of(obj: Obj) -> str:
    """`namespace/name`, or `name` for cluster-scoped objects."""
    meta = obj["metadata"]
    namespace = meta.get("namespace")
    return f"{namespace}/{meta['name']}" if namespace else str(meta["name"])


class Informer:
    """One collection (kind, namespace, selectors), by list and then watch.

    A lost connection is resumed from the last resourceVersion seen; 410 makes a new list.
    """

    def __init__(
        self, kube: Kube, kind: Kind, *, namespace: str | None = None, labels: str = "", fields: str = ""
    ) -> None:
        self.kind = kind
        self.items: dict[str, Obj] = {}
        self._kube = kube
        self._namespace = namespace
        self._labels = labels
        self._fields = fields
        self._callbacks: list[Callback] = []
        self._synced = asyncio.Event()
        self._waiters: set[asyncio.Future[None]] = set()

    async def synced(self) -> None:
        """Return once the first list is in `items`."""
        await self._synced.wait()

    def subscribe(self, callback: Callback) -> None:
        """Call `callback(ADDED|MODIFIED|DELETED, object)` on each change, in order; present items first, as ADDED."""
        self._callbacks.append(callback)
        for item in list(self.items.values()):
            self._call(callback, "ADDED", item)

    async def wait_for(self, predicate: Callable[[dict[str, Obj]], bool], timeout: float) -> None:
        """Return when `predicate(items)` holds; several changes may be one look. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            while not (self._synced.is_set() and predicate(self.items)):
                waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiters.add(waiter)
                try:
                    await waiter
                finally:
                    self._waiters.discard(waiter)

    async def run(self) -> None:
        """Keep `items` true until cancelled. Refusals (401, 403) are logged and tried again, at most once a second."""
        failures = 0
        version = ""
        while True:
            try:
                version = version or await self._list()
                async for change, obj in self._kube.watch(
                    self.kind, self._namespace, version, labels=self._labels, fields=self._fields
                ):
                    failures = 0
                    version = obj["metadata"]["resourceVersion"]
                    if change != "BOOKMARK":
                        self._take(change, obj)
            except KubeError as refusal:
                if refusal.status not in (0, 410):
                    log.warning("watching %s: %s", self.kind.plural, refusal)
                if refusal.status != 0:
                    version = ""
            await asyncio.sleep(RELIST_SECONDS[min(failures, len(RELIST_SECONDS) - 1)])
            failures += 1

    async def _list(self) -> str:
        items, version = await self._kube.list_at(self.kind, self._namespace, labels=self._labels, fields=self._fields)
        fresh = {key_of(item): item for item in items}
        for key in [key for key in self.items if key not in fresh]:
            self._take("DELETED", self.items[key])
        for key, item in fresh.items():
            known = self.items.get(key)
            if known is not None and known["metadata"].get("uid") != item["metadata"].get("uid"):
                self._take("DELETED", known)
                known = None
            if known is None:
                self._take("ADDED", item)
            elif known["metadata"].get("resourceVersion") != item["metadata"].get("resourceVersion"):
                self._take("MODIFIED", item)
        self._synced.set()
        self._wake()
        return version

    def _take(self, change: str, obj: Obj) -> None:
        key = key_of(obj)
        if change == "DELETED":
            self.items.pop(key, None)
        else:
            change = "MODIFIED" if key in self.items else "ADDED"
            self.items[key] = obj
        for callback in self._callbacks:
            self._call(callback, change, obj)
        self._wake()

    def _call(self, callback: Callback, change: str, obj: Obj) -> None:
        # A subscriber's bug must not end the watch for everybody else.
        try:
            callback(change, obj)
        except Exception:
            log.exception("a subscriber of %s failed on %s %s", self.kind.plural, change, key_of(obj))

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)


class Informers:
    """The informers of one process, one per distinct question."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._informers: dict[tuple[Kind, str | None, str, str], Informer] = {}
        self._tasks: dict[tuple[Kind, str | None, str, str], asyncio.Task[None]] = {}
        self._started = False

    def get(self, kind: Kind, *, namespace: str | None = None, labels: str = "", fields: str = "") -> Informer:
        """The informer for a question, made on first use and started at once when the set is already started."""
        question = (kind, namespace, labels, fields)
        if question not in self._informers:
            self._informers[question] = Informer(self._kube, kind, namespace=namespace, labels=labels, fields=fields)
            if self._started:
                self._run(question)
        return self._informers[question]

    async def start(self) -> None:
        """Start all informers made so far and wait until each has its first list."""
        self._started = True
        for question in list(self._informers):
            self._run(question)
        await asyncio.gather(*(informer.synced() for informer in self._informers.values()))

    async def close(self) -> None:
        """Stop watching; `items` stay as they were."""
        self._started = False
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _run(self, question: tuple[Kind, str | None, str, str]) -> None:
        if question not in self._tasks:
            informer = self._informers[question]
            self._tasks[question] = asyncio.create_task(informer.run(), name=f"informer {informer.kind.plural}")
