"""Which plugins and step modules make a run; the rest of pytest's set-up is in pyproject.toml."""

pytest_plugins = [
    "steps.plugin",
    "steps.fixtures",
    "steps.networks",
    "steps.bonds",
    "steps.workers",
    "steps.localnet",
    "steps.vms",
    "steps.migration",
    "steps.connectivity",
    "steps.podnet",
    "steps.access",
    "steps.nmcli",
    "steps.traffic",
    "steps.probes",
    "reports.plugin",
]
