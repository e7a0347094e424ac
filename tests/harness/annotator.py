"""A policy engine that means well: an admission webhook, on a node of the lab, that annotates every new VMI.

Clusters have such ones (mutating policies of Kyverno or Gatekeeper). It is a server of its own behind the lab's real
admission, so that nothing of the lab or the harness is changed.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from kubernetes import client, config

from tests.conftest import PLAIN_ENV, ROOT, VIRTLAB, RunningLab

NODE, PORT, NAME = "worker-1", 9443, "well-meant.example.org"
ANNOTATION = "kubevirt.io/allow-pod-bridge-network-live-migration"
SERVER = """
import base64, http.server, json, ssl, sys
class Hook(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
        meta = request["object"]["metadata"]
        value = {**(meta.get("annotations") or {}), sys.argv[4]: ""}
        patch = [{"op": "add", "path": "/metadata/annotations", "value": value}]
        response = {"uid": request["uid"], "allowed": True, "patchType": "JSONPatch",
                    "patch": base64.b64encode(json.dumps(patch).encode()).decode()}
        body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
server = http.server.HTTPServer((sys.argv[1], int(sys.argv[2])), Hook)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[3])
server.socket = context.wrap_socket(server.socket, server_side=True)
print("ready", flush=True)
server.serve_forever()
"""


@contextmanager
def annotating(lab: RunningLab) -> Iterator[None]:
    """Every VMI that is made meanwhile gets the annotation."""
    kubeconfig = lab.virtlab("kubeconfig", "--admin").stdout.strip()
    with config.new_client_from_config(kubeconfig) as api:
        addresses = client.CoreV1Api(api).read_node(NODE).status.addresses
        address = next(one.address for one in addresses if one.type == "InternalIP")
        pem, bundle = certificate(lab.folder / "annotator.pem", address)
        hooks = client.AdmissionregistrationV1Api(api)
        argv = [*VIRTLAB, "node", "exec", NODE, "--", sys.executable, "-c", SERVER, address, str(PORT), str(pem)]
        with subprocess.Popen(
            [*argv, ANNOTATION],
            cwd=ROOT,
            env={**PLAIN_ENV, **lab.env},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as server:
            try:
                assert server.stdout is not None
                assert server.stdout.readline() == "ready\n"
                hooks.create_mutating_webhook_configuration(configuration(f"https://{address}:{PORT}/", bundle))
                yield
            finally:
                with suppress(client.ApiException):
                    hooks.delete_mutating_webhook_configuration(NAME)
                # The server is a child in the lab's namespaces, which a signal to the command alone does not reach.
                os.killpg(server.pid, signal.SIGKILL)


def configuration(url: str, bundle: str) -> dict[str, object]:
    rule = {"apiGroups": ["kubevirt.io"], "apiVersions": ["*"], "resources": ["virtualmachineinstances"]}
    hook = {
        "name": NAME,
        "clientConfig": {"url": url, "caBundle": bundle},
        "rules": [{**rule, "operations": ["CREATE"], "scope": "*"}],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    return {"metadata": {"name": NAME}, "webhooks": [hook]}


def certificate(path: Path, address: str) -> tuple[Path, str]:
    """Key and certificate in one file, and what trusts it, in base64."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    public = made.public_bytes(serialization.Encoding.PEM)
    path.touch(mode=0o600)
    path.write_bytes(private + public)
    return path, base64.b64encode(public).decode()
