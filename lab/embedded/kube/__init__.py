"""Small asynchronous client of the Kubernetes API, for operators and node agents.

It speaks to any API server over HTTPS and holds no private door into the lab's own one.
"""

from lab.embedded.kube.client import Kube, Obj
from lab.embedded.kube.errors import KubeError
from lab.embedded.kube.informer import Informer, Informers

__all__ = ["Informer", "Informers", "Kube", "KubeError", "Obj"]
