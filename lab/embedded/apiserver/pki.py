"""Keys and certificates of one lab: a CA, the server's certificate, an administrator's client certificate, tokens.

Everything is made fresh per lab and written with mode 0600 (certificates 0644) under one folder; nothing is reused.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DEFAULT_SANS = ("127.0.0.1", "localhost", "192.168.52.1", "::1", "kubernetes", "kubernetes.default.svc")
LIFETIME = timedelta(days=365)


@dataclass(frozen=True)
class Pki:
    """Paths of the PEM files; `client_*` is a certificate of user `kubernetes-admin` in group `system:masters`."""

    ca: Path
    ca_key: Path
    server_cert: Path
    server_key: Path
    client_cert: Path
    client_key: Path


def write_private(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file whole (by rename) that was never readable by others."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    temporary.replace(path)


def _name(common_name: str, organizations: Sequence[str] = ()) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, value) for value in organizations]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, expired: timedelta | None = None
) -> x509.CertificateBuilder:
    now = datetime.now(UTC) - (LIFETIME + expired if expired else timedelta(0))
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + LIFETIME)
    )


def _pem_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


class Authority:
    """A certificate authority held in memory."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self.key = key
        self.certificate = certificate

    @classmethod
    def create(cls, common_name: str) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(common_name)
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        certificate = (
            _builder(name, name, key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate)

    @classmethod
    def load(cls, certificate: Path, key: Path) -> Authority:
        """Read an authority back, for instance to make a webhook server's certificate. ValueError for a non-EC key."""
        loaded = serialization.load_pem_private_key(key.read_bytes(), None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise ValueError(
                f"{key} holds a {type(loaded).__name__}, wanted an elliptic-curve key made by `create_pki`"
            )
        return cls(loaded, x509.load_pem_x509_certificate(certificate.read_bytes()))

    def issue(
        self,
        common_name: str,
        *,
        organizations: Sequence[str] = (),
        sans: Sequence[str] = (),
        expired: timedelta | None = None,
    ) -> tuple[bytes, bytes]:
        """(certificate PEM, key PEM): a server's certificate when `sans` are given, else a client's.

        It is valid from now on, or ended its life as long ago as *expired* says.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.SERVER_AUTH if sans else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = (
            _builder(_name(common_name, organizations), self.certificate.subject, key.public_key(), expired)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.certificate.public_key()),  # type: ignore[arg-type]
                critical=False,
            )
        )
        if sans:
            builder = builder.add_extension(x509.SubjectAlternativeName([_san(san) for san in sans]), critical=False)
        return _pem(builder.sign(self.key, hashes.SHA256())), _pem_key(key)


def _san(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def create_pki(folder: Path, *, sans: Sequence[str] = DEFAULT_SANS) -> Pki:
    """Make a CA and the two certificates in `folder` (created with mode 0700); takes a few milliseconds."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    pki = Pki(
        ca=folder / "ca.crt",
        ca_key=folder / "ca.key",
        server_cert=folder / "server.crt",
        server_key=folder / "server.key",
        client_cert=folder / "client.crt",
        client_key=folder / "client.key",
    )
    authority = Authority.create("virtlab-ca")
    server_cert, server_key = authority.issue("kube-apiserver", sans=sans)
    client_cert, client_key = authority.issue("kubernetes-admin", organizations=("system:masters",))
    write_private(pki.ca, _pem(authority.certificate), 0o644)
    write_private(pki.ca_key, _pem_key(authority.key))
    write_private(pki.server_cert, server_cert, 0o644)
    write_private(pki.server_key, server_key)
    write_private(pki.client_cert, client_cert, 0o644)
    write_private(pki.client_key, client_key)
    return pki


def new_token() -> str:
    """A bearer token of 256 random bits."""
    return secrets.token_urlsafe(32)


def kubeconfig(server: str, pki: Pki, *, token: str = "", name: str = "virtlab", namespace: str = "default") -> Any:
    """A self-contained kubeconfig: CA embedded; the token, or the client certificate when there is none."""

    def embedded(path: Path) -> str:
        return base64.b64encode(path.read_bytes()).decode()

    user: dict[str, str] = {"token": token}
    if not token:
        user = {"client-certificate-data": embedded(pki.client_cert), "client-key-data": embedded(pki.client_key)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": embedded(pki.ca)}}],
        "users": [{"name": f"{name}-admin", "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": f"{name}-admin", "namespace": namespace}}],
    }


def write_kubeconfig(path: Path, server: str, pki: Pki, *, token: str = "", name: str = "virtlab") -> None:
    """Write a kubeconfig with mode 0600 (JSON is YAML, but people read this file)."""
    document = json.loads(json.dumps(kubeconfig(server, pki, token=token, name=name)))
    write_private(path, yaml.safe_dump(document, sort_keys=False).encode())
