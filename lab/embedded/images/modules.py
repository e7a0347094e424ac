"""Choose the kernel modules the guest needs, with what they depend on, and write the index modprobe reads.

Kernel packages come without modules.dep (depmod makes it at installation), so dependencies are read from the modules.
"""

import gzip
import lzma
import re
from collections.abc import Iterable
from pathlib import Path

from lab.embedded.errors import ToolError
from lab.embedded.host.packages import run_bytes

_SIGNED = b"~Module signature appended~\n"
_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")


def collect(folder: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Module name -> content of its .ko, dependencies included and first; those built into the kernel are left out.

    `folder` is `lib/modules/<release>`. Raises ToolError for a module the kernel has not."""
    files = {_name(path.name.split(".ko")[0]): path for path in sorted(folder.rglob("*.ko*"))}
    index = folder / "modules.builtin"
    builtin = {_name(Path(line).stem) for line in index.read_text().split()} if index.exists() else set()
    chosen: dict[str, bytes] = {}

    def add(name: str) -> None:
        if name in chosen or name in builtin:
            return
        if name not in files:
            raise ToolError(
                f"the kernel module {name} for the guests",
                f"neither among the {len(files)} modules nor built in",
                where=str(folder),
                advice="a general kernel package (Debian: linux-image-cloud-amd64, Ubuntu: linux-image-virtual)",
            )
        data = unsigned(_content(files[name]))
        for needed in depends(data):
            add(needed)
        chosen[name] = data

    for name in names:
        add(_name(name))
    return chosen


def unsigned(module: bytes) -> bytes:
    """The module without its signature: checking a dozen of them costs an emulated guest 0.2 s of its boot.

    Layout: include/linux/module_signature.h; 12 bytes of description end with the length of what is before them."""
    if not module.endswith(_SIGNED):
        return module
    end = len(module) - len(_SIGNED)
    return module[: end - 12 - int.from_bytes(module[end - 4 : end], "big")]


def depends(module: bytes) -> list[str]:
    match = _DEPENDS.search(module)
    return [_name(name) for name in match[1].decode().split(",") if name] if match else []


def index(modules: dict[str, bytes]) -> str:
    """modules.dep for modules lying flat in one folder: each line a module and all it needs, direct or not.

    modprobe loads a line from its end, so what others need stands last."""

    def load_order(name: str, order: list[str]) -> list[str]:
        for needed in depends(modules[name]):
            if needed in modules and needed not in order:
                order += [other for other in [*load_order(needed, []), needed] if other not in order]
        return order

    return "".join(
        f"{name}.ko:{''.join(f' {other}.ko' for other in reversed(load_order(name, [])))}\n" for name in modules
    )


def _name(name: str) -> str:
    return name.replace("-", "_")


def _content(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    if path.suffix == ".gz":
        return gzip.decompress(data)
    if path.suffix == ".zst":
        return run_bytes(["zstd", "-dc", str(path)])
    return data
