"""The releases of kubernetes-nmstate that a lab can play, and what a client can see differ between them.

Pure data. Sources: deploy/crds, deploy/handler/operator.yaml and the policy controller of each release's tag.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.embedded.errors import UsageError

NEWEST = "0.86"


@dataclass(frozen=True)
class NmstateRelease:
    """One release; ``minor`` is what counts, the 86 of 0.86."""

    minor: int

    def __str__(self) -> str:
        return f"0.{self.minor}"

    @property
    def alpha_served(self) -> bool:
        """``nmstate.io/v1alpha1`` is served (deprecated); its removal is in v0.84.0."""
        return self.minor <= 83

    @property
    def retries(self) -> bool:
        """A policy that failed on a node is tried again; before v0.85.0 one failure is final and aborts the others."""
        return self.minor >= 85

    @property
    def admission_policy(self) -> bool:
        """Policies are judged by a ValidatingAdmissionPolicy; before v0.86.0 by a webhook."""
        return self.minor >= 86

    @property
    def unserved(self) -> frozenset[tuple[str, str]]:
        """(group, version) of the lab's definitions that this release has not."""
        return frozenset() if self.alpha_served else frozenset({("nmstate.io", "v1alpha1")})


KNOWN = tuple(NmstateRelease(minor) for minor in (83, 84, 85, 86))


def nmstate_release(text: str) -> NmstateRelease:
    """The release called ``0.86``. Raises UsageError listing what there is."""
    for release in KNOWN:
        if str(release) == text:
            return release
    raise UsageError(
        "wanted a release of kubernetes-nmstate that the lab can play",
        repr(text),
        where="--nmstate",
        advice=f"one of {', '.join(map(str, KNOWN))}; without --nmstate it is {NEWEST}",
    )
