"""A run's folder into an S3-compatible store: AWS, MinIO, Ceph, whatever speaks it. One way, and only files.

Credentials come from where tools of AWS look for them (environment, credentials file, a pod's account) and are neither
stored nor printed. A run's own folder stays the truth: what the store does not take is said clearly and loses nothing;
`virtlab report RUN --upload URL` puts the run there later.
"""

from __future__ import annotations

import mimetypes
import os
import re
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from lab.core.deadline import Deadline
from lab.core.errors import LabError, UsageError
from lab.evidence.reading import FILE

if TYPE_CHECKING:
    from minio import Minio
    from urllib3 import PoolManager

TOTAL_S, CONNECT_S, READ_S = 900.0, 10.0, 60.0
AWS = "https://s3.amazonaws.com"
FORM = "s3://BUCKET[/PREFIX][?endpoint=https://HOST[:PORT]][&region=REGION]"
TYPES = {
    ".md": "text/markdown",
    ".log": "text/plain",
    ".pcap": "application/vnd.tcpdump.pcap",
    ".json": "application/json",
}
"""What a browser is told of a file; all text is UTF-8."""
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_KEYS = ("SignatureDoesNotMatch", "InvalidAccessKeyId", "InvalidToken", "ExpiredToken", "AccessDenied")


class UploadFailed(LabError):
    """The store did not take the run; the run's own folder is untouched."""


@dataclass(frozen=True)
class Place:
    """Where runs go. `endpoint` is a URL without path, `region` may be empty."""

    bucket: str
    prefix: str
    endpoint: str
    region: str

    def key(self, *parts: str) -> str:
        """The name of an object."""
        return "/".join(part for part in (self.prefix, *parts) if part)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


def place(url: str, env: Mapping[str, str] = os.environ) -> Place:
    """Read an ``s3://`` URL; what it leaves open is in the environment, as for tools of AWS.

    Raises UsageError: no such URL, or one with a password in it.
    """
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    endpoint = query.pop("endpoint", "") or env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or ""
    region = query.pop("region", "") or env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or ""
    server = urlsplit(endpoint or AWS)
    if "@" in parts.netloc or server.username is not None:
        raise _bad("a URL with credentials in it (not shown)", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    if parts.scheme != "s3" or query or parts.fragment:
        raise _bad(repr(url))
    if not _BUCKET.fullmatch(parts.netloc):
        raise _bad(repr(url), "a bucket: 3 to 63 lower case letters, digits, dots and dashes")
    if server.scheme not in ("http", "https") or not server.hostname or server.path.strip("/"):
        raise _bad(f"the endpoint {endpoint!r}", "http://HOST:PORT or https://HOST, without a path")
    # A store of one's own knows no regions, and signs for the first that there was.
    return Place(
        parts.netloc,
        parts.path.strip("/"),
        f"{server.scheme}://{server.netloc}",
        region or ("us-east-1" if endpoint else ""),
    )


def _bad(found: str, advice: str = "") -> UsageError:
    return UsageError(f"{FORM}", found, "--upload", advice)


def check(url: str) -> None:
    """What can be said before anything runs. Raises UsageError: no such URL, or its library is not installed."""
    place(url)
    try:
        import minio  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "the package minio, which speaks S3", "it is not installed", "--upload", "pip install 'virtlab[s3]'"
        ) from error


def run(folder: Path, run_id: str, url: str, more: Mapping[str, Path] | None = None) -> str:
    """Every file of a run's folder below ``PREFIX/RUN-ID/``; *more* are further folders, by the name that they get.

    The record comes last: where it is, everything is. Returns where, in words.

    Raises UsageError as `check`, UploadFailed with the cause and the number of files that are there.
    """
    check(url)
    to, deadline, done = place(url), Deadline.after(TOTAL_S), 0
    try:
        client = _client(to)
        for name, path in files(folder, more or {}):
            if deadline.expired:
                raise UploadFailed(
                    f"the run in {to} within {TOTAL_S:.0f} s",
                    f"{done} files are there by now",
                    to.endpoint,
                    _later(run_id, url),
                )
            client.fput_object(to.bucket, to.key(run_id, name), str(path), content_type=_type(path))
            done += 1
    except LabError:
        raise
    except Exception as error:
        raise _failed(error, to, done, _later(run_id, url)) from error
    return f"s3://{to.bucket}/{to.key(run_id)}/ ({done} files)"


def _later(run_id: str, url: str) -> str:
    return f"nothing is lost; later: virtlab report {run_id} --upload '{url}'"


def files(folder: Path, more: Mapping[str, Path]) -> Iterator[tuple[str, Path]]:
    """(name, file), the record last. Links are left out: what they lead to is somebody else's."""
    roots = [("", folder), *((f"{name}/", path) for name, path in more.items())]
    last = []
    for prefix, root in roots:
        for path in sorted(root.rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            entry = (f"{prefix}{path.relative_to(root).as_posix()}", path)
            if entry[0] == FILE:
                last.append(entry)
            else:
                yield entry
    yield from last


def _type(path: Path) -> str:
    found = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"{found}; charset=utf-8" if found.startswith("text/") else found


def _client(to: Place) -> Minio:
    from minio import Minio

    server = urlsplit(to.endpoint)
    return Minio(
        server.netloc,
        secure=server.scheme == "https",
        region=to.region or None,
        credentials=_credentials(to),
        http_client=_pool(to.endpoint),
    )


def _credentials(to: Place) -> Any:
    """A provider; the ones that ask a server are there only where a pod's account names that server."""
    from minio.credentials.providers import (
        AWSConfigProvider,
        ChainedProvider,
        EnvAWSProvider,
        IamAwsProvider,
        Provider,
    )

    providers: list[Provider] = [EnvAWSProvider(), AWSConfigProvider()]
    if any(os.environ.get(name) for name in ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                                             "AWS_CONTAINER_CREDENTIALS_FULL_URI")):  # fmt: skip
        providers.append(IamAwsProvider())
    chain = ChainedProvider(providers)
    try:
        chain.retrieve()
    except Exception as error:
        # What the library says of each provider is of no use to a person, and may quote a file.
        raise UploadFailed(
            f"credentials for {to.endpoint}",
            "none in the environment, in the credentials file of AWS' tools, or from a pod's account",
            "this machine",
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SHARED_CREDENTIALS_FILE and AWS_PROFILE",
        ) from error
    return chain


def _pool(endpoint: str) -> PoolManager:
    """Few tries with an end, the proxy of the environment, and its certificates besides the common ones."""
    import certifi
    from urllib3 import PoolManager, ProxyManager, Retry, Timeout

    options: dict[str, Any] = {
        "timeout": Timeout(connect=CONNECT_S, read=READ_S),
        "retries": Retry(total=3, backoff_factor=0.5, status_forcelist=(500, 502, 503, 504), allowed_methods=None),
        "cert_reqs": "CERT_REQUIRED",
        "ca_certs": os.environ.get("AWS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE") or certifi.where(),
    }
    server = urlsplit(endpoint)
    proxy = urllib.request.getproxies().get(server.scheme, "")
    if proxy and not urllib.request.proxy_bypass(server.hostname or ""):
        return ProxyManager(proxy, **options)
    return PoolManager(**options)


def _failed(error: Exception, to: Place, done: int, later: str) -> UploadFailed:
    """In words that say what to do about it; *done* files are there."""
    from minio.error import S3Error
    from urllib3.exceptions import HTTPError, MaxRetryError, SSLError

    there = f"; {done} files are there" if done else ""
    if isinstance(error, S3Error):
        said = f"{error.code}: {error.message}" if error.message else str(error.code)
        if error.code == "NoSuchBucket":
            return UploadFailed(f"the bucket {to.bucket}", f"there is none{there}", to.endpoint, f"make it; {later}")
        if error.code in _KEYS:
            return UploadFailed(
                f"to be let write to {to}", f"{said}{there}", to.endpoint, f"other credentials; {later}"
            )
        return UploadFailed(f"{to} to take the run", f"{said}{there}", to.endpoint, later)
    cause = error.reason if isinstance(error, MaxRetryError) and error.reason else error
    if isinstance(cause, SSLError):
        return UploadFailed(
            f"a certificate of {to.endpoint} that can be trusted", f"{_words(cause)}{there}", to.endpoint,
            f"AWS_CA_BUNDLE names a file of further authorities; {later}",
        )  # fmt: skip
    if isinstance(error, HTTPError):
        return UploadFailed(f"{to.endpoint} to answer", f"{_words(cause)}{there}", str(to), later)
    if isinstance(error, OSError):
        return UploadFailed("the run's files", f"{error.filename or ''} {error.strerror}".strip(), str(to), later)
    return UploadFailed(f"{to} to take the run", f"{_words(error)}{there}", to.endpoint, later)


def _words(error: BaseException) -> str:
    """Without the object's address in memory, which urllib3 puts first."""
    return re.sub(r"^<[^>]*>: |^\w+\([^)]*\): ", "", str(error)).strip() or type(error).__name__
