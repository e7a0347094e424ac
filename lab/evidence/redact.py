"""Keeping secrets out of what is written: by the names that hold them, by their forms, and those known outright.

Everything that evidence writes goes through here, whoever printed it. It may hide too much and must not hide too
little; what was hidden is said in its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

HIDDEN = "(hidden)"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
SHORTEST = 8
"""Known secrets that are shorter are words that stand for other things as well."""
_NAMES = re.compile(
    r"(?i)(pass(word|wd|phrase)?|secret|token|api_?-?key|private_?-?key|access_?-?key|credentials?|authorization"
    r"|userdata(base64)?|chpasswd|kubeconfig)$"
)
_REFERENCES = re.compile(r"(?i)(ref|name)$")
_TEXT = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S),
    re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"),  # a JSON Web Token: service account tokens are
    re.compile(r"(?<![\w$])\$(?:1|2[abxy]?|5|6|7|y|gy|argon2id?)\$[./\w$=,-]{8,}"),  # crypt(5)
    re.compile(r"(?i)(?<=bearer )[\w.~+/=-]{6,}"),
    re.compile(r"(?<=://)[^\s/:@]+:[^\s/@]+(?=@)"),
    re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    re.compile(r"\bgh[pousr]_\w{20,}|\bsha256~[\w-]{20,}"),  # tokens of GitHub and OpenShift
)
_PAIR = re.compile(
    r"(?im)((?:^|[\s,;{\"'-])[\w.-]*(?:password|passwd|passphrase|secret|token|api[_-]?key|private[_-]?key)[\"']?\s*[:=]\s*)"
    r"(\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|[^\s,;}\"']+)"
)


class Redactor:
    """Knows this run's own secrets besides; use one for everything that goes into a folder."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._known = sorted({k for k in known if len(k) >= SHORTEST}, key=len, reverse=True)

    def text(self, text: str, *, pairs: bool = True) -> str:
        """Any text, with what looks like a secret replaced; with *pairs* also what stands behind ``password:``."""
        for known in self._known:
            text = text.replace(known, HIDDEN)
        for pattern in _TEXT:
            text = pattern.sub(HIDDEN, text)
        return _PAIR.sub(lambda m: m[0] if m[2].startswith(HIDDEN) else m[1] + HIDDEN, text) if pairs else text

    def value(self, value: Any) -> Any:
        """An object: values under names that hold secrets replaced, bookkeeping of the API left out."""
        if isinstance(value, dict):
            return self._mapping(value)
        if isinstance(value, list):
            return [self.value(v) for v in value]
        return self.text(value) if isinstance(value, str) else value

    def _mapping(self, value: dict[Any, Any]) -> dict[Any, Any]:
        found = {}
        for key, inside in value.items():
            if key in {"managedFields", LAST_APPLIED}:
                continue
            secret = isinstance(inside, str | bytes) and _is_secret(str(key))
            found[key] = HIDDEN if secret else self.value(inside)
        # An environment variable is a pair of its own: {name: DB_PASSWORD, value: x}.
        if isinstance(value.get("name"), str) and isinstance(value.get("value"), str) and _is_secret(value["name"]):
            found["value"] = HIDDEN
        if value.get("kind") == "Secret":
            found |= {key: HIDDEN for key in ("data", "stringData") if key in value}
        return found


def _is_secret(name: str) -> bool:
    return bool(_NAMES.search(name)) and not _REFERENCES.search(name)
