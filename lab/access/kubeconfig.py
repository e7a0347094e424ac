"""From a kubeconfig to a configured ApiClient of the `kubernetes` package; credentials stay in there.

It must not talk to the cluster: a wrong file is a usage error here, a silent server is found at the first request.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client as k8s
from kubernetes import config as k8s_config
from kubernetes.config import incluster_config

from lab.access.proxy import choose, headers
from lab.core.errors import UsageError
from lab.core.yamls import reading

_ADVICE = (
    "start an embedded lab (virtlab up) and use its target (targets/embedded.yaml), "
    "or name a kubeconfig: cluster.kubeconfig in the target file, or KUBECONFIG"
)


ACCOUNT = Path(incluster_config.SERVICE_TOKEN_FILENAME).parent
"""Where a pod finds the credentials of its ServiceAccount."""


def default_path() -> Path | None:
    """What kubectl would use: the first existing file of KUBECONFIG, else ~/.kube/config; None when there is none."""
    names = [name for name in os.environ.get("KUBECONFIG", "").split(os.pathsep) if name]
    for path in [Path(name).expanduser() for name in names] or [Path.home() / ".kube" / "config"]:
        if path.is_file():
            return path
    return None


def load(path: Path | None, context: str = "", proxy: str = "") -> Any:
    """An ApiClient (kubernetes.client.ApiClient) for a context ("" = the current one) of a kubeconfig.

    Without any kubeconfig a pod's own ServiceAccount serves, as it does kubectl.

    Raises UsageError: no file, not a kubeconfig, no such context, unusable credentials.
    """
    found = path or default_path()
    if found is None and (ACCOUNT / "token").is_file():
        return _of_this_pod(proxy)
    if found is None:
        raise UsageError("a kubeconfig", "none was named, KUBECONFIG is unset, ~/.kube/config is absent", "", _ADVICE)
    if not found.is_file():
        raise UsageError("a kubeconfig", f"no file {found}", str(found), _ADVICE)
    _check_shape(found, context)
    configuration = k8s.Configuration()
    configuration.proxy = None
    try:
        read: Any = k8s_config.load_kube_config
        read(config_file=str(found), context=context or None, client_configuration=configuration, persist_config=False)
    except Exception as error:
        # The loader raises ConfigException, but also KeyError, binascii.Error, OSError for what it did not foresee.
        raise UsageError("a usable kubeconfig", f"{type(error).__name__}: {error}", str(found), _ADVICE) from error
    return _client(configuration, proxy, str(configuration.proxy or ""))


def _client(configuration: Any, proxy: str, of_kubeconfig: str = "") -> Any:
    found = choose(configuration.host, proxy, of_kubeconfig)
    # NO_PROXY is heeded in the choice; the package would lay it over a proxy that was asked for by name.
    configuration.no_proxy, configuration.proxy = None, found or None
    configuration.proxy_headers = headers(found) or None
    return k8s.ApiClient(configuration)


def _of_this_pod(proxy: str) -> Any:
    """The token is read again before it expires: the kubelet renews it in its file."""
    configuration = k8s.Configuration()
    configuration.proxy = None
    try:
        made: Any = incluster_config.InClusterConfigLoader
        made(str(ACCOUNT / "token"), str(ACCOUNT / "ca.crt")).load_and_set(configuration)
    except (k8s_config.ConfigException, OSError) as error:
        raise UsageError("the ServiceAccount of this pod", str(error), str(ACCOUNT), _ADVICE) from error
    return _client(configuration, proxy)


def _check_shape(path: Path, context: str) -> None:
    try:
        text = path.read_text()
        data = reading(lambda: yaml.safe_load(text))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise UsageError("a kubeconfig", f"not readable as YAML: {problem}", f"{path}{line}", _ADVICE) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("a kubeconfig", f"not readable: {error}", str(path), _ADVICE) from error
    contexts = data.get("contexts") if isinstance(data, dict) else None
    names = [str(c.get("name")) for c in contexts if isinstance(c, dict)] if isinstance(contexts, list) else []
    if not names:
        raise UsageError("a kubeconfig with contexts", "it has none", str(path), _ADVICE)
    wanted = context or data.get("current-context")
    if not wanted:
        raise UsageError(
            "a context", "none was named and the file has no current-context", str(path), f"one of: {', '.join(names)}"
        )
    if wanted not in names:
        raise UsageError(f"the context {wanted!r}", f"the file has: {', '.join(names)}", str(path), "name one of these")


def current_context(path: Path) -> str:
    """The context that a usable kubeconfig (:func:`load` took it) names as its current one."""
    return str(yaml.safe_load(path.read_text())["current-context"])


def tls_context(configuration: Any) -> ssl.SSLContext:
    """The TLS settings of a configuration for connections that urllib3 does not make (websockets)."""
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert, cadata=configuration.ca_cert_data)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return context
