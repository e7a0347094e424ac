"""Proxies and certificates of one's own: a real TLS API server behind a proxy that tells what it carried."""

from __future__ import annotations

import base64
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.access import proxy
from lab.access.client import Client
from lab.access.errors import NotFound
from lab.core.deadline import Deadline
from lab.core.errors import ApiDown, UsageError

SERVER = "https://api.lab.example:6443"
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


class Proxy:
    """Carries what CONNECT asks for to one port of this machine, whatever the name; notes each request's head."""

    def __init__(self, port: int, password: str = "") -> None:
        self._port, self._password = port, password
        self.asked: list[str] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(client,), daemon=True).start()

    def _one(self, client: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        text = head.decode()
        self.asked.append(text.splitlines()[0].rpartition(" HTTP/")[0])
        pair = base64.b64encode(f"me:{self._password}".encode()).decode()
        if self._password and f"Proxy-Authorization: Basic {pair}".lower() not in text.lower():
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            client.close()
            return
        far = socket.create_connection(("127.0.0.1", self._port))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        for one, other in ((client, far), (far, client)):
            threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    @staticmethod
    def _carry(one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            other.close()
        finally:
            one.close()

    def close(self) -> None:
        self._listening.close()


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The kubeconfig of an API server of its own CA, which is named by a file and not embedded."""
    folder = tmp_path_factory.mktemp("api")
    argv = [sys.executable, "-m", "lab.embedded.apiserver", "--dir", str(folder)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdout is not None
        path = Path(child.stdout.readline().strip())
        config = yaml.safe_load(path.read_text())
        cluster = config["clusters"][0]["cluster"]
        del cluster["certificate-authority-data"]
        cluster["certificate-authority"] = str(folder / "ca.crt")
        path.write_text(yaml.safe_dump(config))
        try:
            yield path
        finally:
            child.terminate()


def changed(kubeconfig: Path, folder: Path, **fields: Any) -> Path:
    config = yaml.safe_load(kubeconfig.read_text())
    config["clusters"][0]["cluster"].update(fields)
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def port_of(kubeconfig: Path) -> int:
    return int(yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]["server"].rpartition(":")[2])


def use(client: Client) -> None:
    """A request, and a stream that is answered before it is one."""
    assert client.version()
    with pytest.raises(NotFound):
        client.console("vm-a", "default", deadline=Deadline.after(10))
    client.close()


@pytest.mark.parametrize("password", ["", "with space & @"])
def test_requests_and_streams_go_through_the_kubeconfigs_proxy(kubeconfig: Path, tmp_path: Path, password: str) -> None:
    carrying = Proxy(port_of(kubeconfig), password)
    user = "me:with%20space%20%26%20%40@" if password else ""
    url = f"http://{user}127.0.0.1:{carrying.port}"
    server = f"https://kubernetes.default.svc:{port_of(kubeconfig)}"
    use(Client.connect(changed(kubeconfig, tmp_path, **{"proxy-url": url, "server": server})))
    assert carrying.asked == [f"CONNECT kubernetes.default.svc:{port_of(kubeconfig)}"] * 2
    carrying.close()


def test_the_targets_proxy_goes_before_the_kubeconfigs(kubeconfig: Path, tmp_path: Path) -> None:
    carrying = Proxy(port_of(kubeconfig))
    path = changed(kubeconfig, tmp_path, **{"proxy-url": "http://127.0.0.1:9"})
    use(Client.connect(path, "", f"http://127.0.0.1:{carrying.port}"))
    assert len(carrying.asked) == 2
    carrying.close()


def test_the_environments_proxy_holds_for_servers_elsewhere(
    kubeconfig: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carrying = Proxy(port_of(kubeconfig))
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{carrying.port}")
    server = f"https://kubernetes:{port_of(kubeconfig)}"
    use(Client.connect(changed(kubeconfig, tmp_path, server=server)))
    assert len(carrying.asked) == 2
    use(Client.connect(kubeconfig))
    assert len(carrying.asked) == 2
    carrying.close()


def test_a_certificate_for_another_name_is_taken_when_the_kubeconfig_says_so(kubeconfig: Path, tmp_path: Path) -> None:
    carrying = Proxy(port_of(kubeconfig))
    url = f"http://127.0.0.1:{carrying.port}"
    fields = {"proxy-url": url, "server": "https://api.lab.example:6443", "tls-server-name": "kubernetes.default.svc"}
    use(Client.connect(changed(kubeconfig, tmp_path, **fields)))
    carrying.close()


def test_a_proxy_that_refuses_is_named_without_its_password(kubeconfig: Path, tmp_path: Path) -> None:
    carrying = Proxy(port_of(kubeconfig), "right")
    url = f"http://me:wrong@127.0.0.1:{carrying.port}"
    client = Client.connect(changed(kubeconfig, tmp_path, **{"proxy-url": url}))
    with pytest.raises(ApiDown, match="407 Proxy Authentication Required") as raised:
        client.console("vm-a", "default", deadline=Deadline.after(5))
    assert f"the proxy http://127.0.0.1:{carrying.port} does not connect to 127.0.0.1:" in str(raised.value)
    assert "wrong" not in str(raised.value)
    carrying.close()


@pytest.mark.parametrize("url", ["https://proxy:3128", "socks5://proxy:1080", "proxy:3128", "http://"])
def test_a_proxy_of_another_kind_is_refused_with_what_to_write(url: str) -> None:
    with pytest.raises(UsageError, match="a proxy that is reached by http, as http://proxy:3128"):
        proxy.choose(SERVER, url, "")


def test_which_proxy_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxy.choose(SERVER, "", "") == ""
    monkeypatch.setenv("HTTP_PROXY", "http://plain:1")
    assert proxy.choose(SERVER, "", "") == ""
    assert proxy.choose("http://api.lab.example", "", "") == "http://plain:1"
    monkeypatch.setenv("HTTPS_PROXY", "http://secure:2")
    assert proxy.choose(SERVER, "", "") == "http://secure:2"
    assert proxy.choose("https://localhost:6443", "", "") == proxy.choose("https://[::1]:6443", "", "") == ""
    for names in ("api.lab.example", ".lab.example", "other,lab.example", "*", "api.lab.example:6443"):
        monkeypatch.setenv("NO_PROXY", names)
        assert proxy.choose(SERVER, "", "") == "", names
    assert proxy.choose(SERVER, "", "http://of-kubeconfig:3") == "http://of-kubeconfig:3"
    assert proxy.choose(SERVER, "http://of-target:4", "http://of-kubeconfig:3") == "http://of-target:4"
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8")
    assert proxy.choose("https://10.1.2.3:6443", "", "") == ""
