"""The lab's stand-in for kube-apiserver: an in-memory store behind the Kubernetes API, over TLS.

It stores, validates, admits, watches and relays. It decides nothing about pods, VMs or networks: controllers and node
agents are ordinary clients of it.
"""

from lab.embedded.apiserver.requests import User
from lab.embedded.apiserver.serve import ApiConfig, serve

__all__ = ["ApiConfig", "User", "serve"]
