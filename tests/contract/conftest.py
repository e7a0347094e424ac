"""Cases for any API server: the lab's own, started here, or a cluster named by VIRTLAB_CONTRACT_KUBECONFIG."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import urllib3
from kubernetes import client, config
from kubernetes.dynamic import DynamicClient

WAIT_SECONDS = 10


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Path of a kubeconfig of an administrator."""
    given = os.environ.get("VIRTLAB_CONTRACT_KUBECONFIG")
    if given:
        yield Path(given)
        return
    folder = tmp_path_factory.mktemp("apiserver")
    with (folder / "log").open("w") as log:
        argv = [sys.executable, "-m", "lab.embedded.apiserver", "--dir", str(folder)]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            assert process.stdout is not None
            path = process.stdout.readline().strip()
            assert path, f"the API server did not start: {(folder / 'log').read_text()}"
            yield Path(path)
        finally:
            process.terminate()
            process.wait(WAIT_SECONDS)
            assert process.stdout is not None
            process.stdout.close()
    assert "Traceback" not in (folder / "log").read_text()


@pytest.fixture(scope="session")
def own_server(kubeconfig: Path) -> Path:
    """The folder of the server started here; skips against a foreign cluster."""
    if os.environ.get("VIRTLAB_CONTRACT_KUBECONFIG"):
        pytest.skip("needs the lab's own server, found VIRTLAB_CONTRACT_KUBECONFIG")
    return kubeconfig.parent


@pytest.fixture(scope="session")
def api(kubeconfig: Path) -> Iterator[client.ApiClient]:
    api_client = config.new_client_from_config(str(kubeconfig))
    yield api_client
    api_client.close()


@pytest.fixture(scope="session")
def dynamic(api: client.ApiClient) -> DynamicClient:
    return DynamicClient(api)


class Http:
    """Plain requests with the administrator's token, for what clients hide."""

    def __init__(self, api_client: client.ApiClient) -> None:
        self._configuration = api_client.configuration
        self.host: str = self._configuration.host
        self.ca: str = self._configuration.ssl_ca_cert
        self.pool = urllib3.PoolManager(ca_certs=self.ca)

    def token(self) -> dict[str, str]:
        """The header with the administrator's token."""
        settings = self._configuration.auth_settings().get("BearerToken")
        return {settings["key"]: settings["value"]} if settings else {}

    def send(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, **query: str
    ) -> urllib3.BaseHTTPResponse:
        """One request; a body that is no bytes is sent as JSON; a token in `headers` replaces the administrator's."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **self.token(), **(headers or {})}
        url = self.host + path + (f"?{urlencode(query)}" if query else "")
        return self.pool.request(method, url, body=data, headers=sent, retries=False)

    def status(self, method: str, path: str, body: Any = None, **query: str) -> dict[str, Any]:
        """The decoded answer, which must be JSON."""
        loaded: dict[str, Any] = json.loads(self.send(method, path, body, **query).data)
        return loaded


@pytest.fixture(scope="session")
def http(api: client.ApiClient) -> Iterator[Http]:
    made = Http(api)
    yield made
    made.pool.clear()


@pytest.fixture
def namespace(api: client.ApiClient) -> Iterator[str]:
    """A namespace of the test's own."""
    core = client.CoreV1Api(api)
    name = f"contract-{uuid.uuid4().hex[:8]}"
    core.create_namespace({"metadata": {"name": name}})
    yield name
    core.delete_namespace(name)


@pytest.fixture
def configmaps(dynamic: DynamicClient) -> Any:
    return dynamic.resources.get(api_version="v1", kind="ConfigMap")


@pytest.fixture
def vms(dynamic: DynamicClient) -> Any:
    return dynamic.resources.get(api_version="kubevirt.io/v1", kind="VirtualMachine")


def vm_manifest(name: str) -> dict[str, Any]:
    """A small VirtualMachine that every check accepts."""
    interface = {"name": "vlan", "bridge": {}, "macAddress": "02:00:00:20:24:11"}
    devices = {"disks": [{"name": "root", "disk": {"bus": "virtio"}}], "interfaces": [interface]}
    template = {
        "domain": {"devices": devices, "memory": {"guest": "128Mi"}},
        "networks": [{"name": "vlan", "multus": {"networkName": "default/vlan-2024"}}],
        "volumes": [{"name": "root", "containerDisk": {"image": "quay.io/containerdisks/fedora:41"}}],
    }
    spec = {"runStrategy": "Halted", "template": {"spec": template}}
    return {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": name}, "spec": spec}
