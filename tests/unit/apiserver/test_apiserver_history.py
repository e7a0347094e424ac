"""What the API server keeps of the past: as much as a watch may begin from, and little memory for it."""

import tracemalloc
from typing import Any

import pytest

from lab.embedded.apiserver import history
from lab.embedded.apiserver.errors import StatusError
from lab.embedded.apiserver.schema import clone
from lab.embedded.apiserver.store import Store

VMIS = ("kubevirt.io", "virtualmachineinstances")


def vmi(value: int) -> dict[str, Any]:
    owned = {f"f:field-{n}": {"f:one": {}, "f:two": {}, "f:three": {}} for n in range(12)}
    return {
        "metadata": {"namespace": "here", "name": f"vm-{value % 30}", "uid": f"u-{value % 30}",
                     "managedFields": [{"manager": "virt-handler", "fieldsV1": owned}]},
        "status": {"phase": "Running", "value": value, "odd": "\ud800 \u2028 é", "none": None, "small": 0.5},
    }  # fmt: skip


def filled(writes: int) -> Store:
    store = Store()
    for value in range(writes):
        store.put(VMIS, vmi(value))
    return store


def test_old_changes_are_what_they_were() -> None:
    told: list[history.Change] = []
    store = Store()
    store.subscribe(VMIS, lambda change: told.append(clone_of(change)))
    for value in range(history.MOST // 2):
        store.put(VMIS, vmi(value))
    store.remove(VMIS, "here", "vm-3")
    for value in range(history.PLAIN):
        store.put(VMIS, vmi(value))
    assert list(store.changes_since(VMIS, 0)) == told
    assert {change.type for change in told} == {"ADDED", "MODIFIED", "DELETED"}
    assert [change.revision for change in store.changes_since(VMIS, told[70].revision)] == [
        change.revision for change in told[71:]
    ]


def clone_of(change: history.Change) -> history.Change:
    return history.Change(change.revision, change.collection, change.type, clone(change.obj), clone(change.previous))


def test_no_more_than_so_many_are_kept() -> None:
    store = filled(history.MOST + 200)
    kept = list(store.changes_since(VMIS, 201))
    assert len(kept) == history.MOST
    assert kept[0].revision == 202
    with pytest.raises(StatusError, match=r"too old resource version: 200 \(201\)"):
        store.changes_since(VMIS, 200)


def test_memory_levels_off() -> None:
    tracemalloc.start()
    try:
        store = filled(history.MOST)
        full = tracemalloc.get_traced_memory()[0]
        for value in range(history.MOST):
            store.put(VMIS, vmi(value))
        later = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert full < 3 * 2**20, f"{full / 2**20:.1f} MiB for {history.MOST} changes"
    assert later < full * 1.05
