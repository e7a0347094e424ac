"""A run's folder in an S3 store: into a real server (moto's), read back by another client (boto3), and every refusal.

The server checks signatures, so that a wrong key is wrong here as well.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.core.errors import UsageError
from reports import upload
from reports.cli import main
from reports.cli import write as draw
from tests import programs
from tests.conftest import ROOT
from tests.unit.evidence import records

PYTEST = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:schemathesis"]

BOTO = """
import json, sys, boto3
endpoint, key, secret, script = sys.argv[1:]
def client(name):
    return boto3.client(name, endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=key,
                        aws_secret_access_key=secret)
exec(script)
"""
MAKE = """
iam = client("iam")
iam.create_user(UserName="virtlab")
allowed = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
iam.put_user_policy(UserName="virtlab", PolicyName="all", PolicyDocument=json.dumps(allowed))
made = iam.create_access_key(UserName="virtlab")["AccessKey"]
client("s3").create_bucket(Bucket="results")
print(json.dumps([made["AccessKeyId"], made["SecretAccessKey"]]))
"""
LIST = """
s3 = client("s3")
found = {}
for entry in s3.list_objects_v2(Bucket="results").get("Contents", []):
    got = s3.get_object(Bucket="results", Key=entry["Key"])
    found[entry["Key"]] = [got["ContentType"], got["Body"].read().decode("utf-8", "replace")]
print(json.dumps(found))
"""


@dataclass(frozen=True)
class S3:
    """`ask` runs a script of boto3's with the server's own key."""

    endpoint: str
    key: str
    secret: str
    ask: Callable[[str], str]

    def url(self, bucket: str = "results", prefix: str = "nightly") -> str:
        return f"s3://{bucket}/{prefix}?endpoint={self.endpoint}"


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    program = programs.s3_server()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    env = {**program.env, "INITIAL_NO_AUTH_ACTION_COUNT": "4"}
    log = (tmp_path_factory.mktemp("s3") / "log").open("wb")
    server = subprocess.Popen([program.path, "-H", "127.0.0.1", "-p", str(port)], env=env, stdout=log, stderr=log)

    def ask(script: str, key: str = "x", secret: str = "x") -> str:
        python = str(program.path.with_name("python"))
        done = subprocess.run([python, "-c", BOTO, endpoint, key, secret, script], capture_output=True, text=True,
                              timeout=120, check=False)  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    try:
        until_it_answers(port, server)
        key, secret = json.loads(ask(MAKE))
        yield S3(endpoint, key, secret, lambda script: ask(script, key, secret))
    finally:
        server.terminate()
        server.wait(20)
        log.close()


def until_it_answers(port: int, server: subprocess.Popen[bytes]) -> None:
    """The server announces nothing that a program could wait for."""
    for _ in range(300):
        assert server.poll() is None, "the S3 server has ended"
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/", timeout=5).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError("the S3 server does not answer")


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials, endpoint or proxy of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def login(s3: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret)
    return s3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a run leaves, with a link that leads out of it."""
    made = records.record(tmp_path / "out/r1", "passed", "failed", run_id="r1")
    made.write()
    draw(made, "html")
    draw(made, "junit")
    deep = made.folder / "evidence" / "02" / "guests" / "vm a"
    deep.mkdir(parents=True)
    (deep / "console.log").write_text("Grüße", encoding="utf-8")
    (deep / "capture.pcap").write_bytes(b"\xd4\xc3\xb2\xa1")
    (tmp_path / "secret").write_text("not yours")
    (made.folder / "link").symlink_to(tmp_path / "secret")
    return made.folder


def test_a_run_is_there_whole_and_a_browser_can_show_it(login: S3, folder: Path) -> None:
    said = upload.run(folder, "r1", login.url())
    found = json.loads(login.ask(LIST))
    here = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and not p.is_symlink()}
    assert {key.removeprefix("nightly/r1/") for key in found} == here
    assert said == f"s3://results/nightly/r1/ ({len(here)} files)"
    types = {key.removeprefix("nightly/r1/"): kind for key, (kind, _) in found.items()}
    assert types["report.html"] == "text/html; charset=utf-8"
    assert types["run.json"] == "application/json"
    assert types["evidence/02/guests/vm a/console.log"] == "text/plain; charset=utf-8"
    assert found["nightly/r1/run.json"][1] == (folder / "run.json").read_text(encoding="utf-8")
    assert found["nightly/r1/evidence/02/guests/vm a/console.log"][1] == "Grüße"


def test_the_record_comes_last_so_that_where_it_is_everything_is(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "al").mkdir()
    (tmp_path / "al" / "run.json").write_text("no record")
    names = [name for name, _ in upload.files(folder, {"allure": tmp_path / "al"})]
    assert names[-1] == "run.json"
    assert names.count("run.json") == 1
    assert "allure/run.json" in names


def test_a_report_is_put_there_afterwards_with_allure_s_results(
    login: S3, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["r1", "--out", str(folder.parent), "--allure", str(tmp_path / "al")]
    assert main([*words, "--upload", login.url(prefix="later")]) == 0
    assert "uploaded: s3://results/later/r1/ (" in capsys.readouterr().out
    found = json.loads(login.ask(LIST))
    assert [key for key in found if key.startswith("later/r1/allure/") and key.endswith("-result.json")]


def test_a_bucket_that_is_none_is_told_and_the_folder_is_as_before(
    login: S3, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (folder / "run.json").read_bytes()
    assert main(["r1", "--out", str(folder.parent), "--upload", login.url(bucket="nowhere")]) == 10
    message = capsys.readouterr().err
    assert "wanted: the bucket nowhere\nfound: there is none" in message
    assert f"where: {login.endpoint}" in message
    assert "later: virtlab report r1 --upload 's3://nowhere/nightly" in message
    assert (folder / "run.json").read_bytes() == before


@pytest.mark.parametrize(("name", "code"), [("AWS_SECRET_ACCESS_KEY", "SignatureDoesNotMatch"),
                                            ("AWS_ACCESS_KEY_ID", "InvalidAccessKeyId")])  # fmt: skip
def test_wrong_keys_are_told_in_the_store_s_words_and_never_shown(
    login: S3, folder: Path, name: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "WRONGWRONGWRONGWRONG")
    with pytest.raises(upload.UploadFailed) as caught:
        upload.run(folder, "r1", login.url())
    message = str(caught.value)
    assert f"found: {code}" in message
    assert "other credentials" in message
    assert "WRONG" not in message.replace("InvalidAccessKeyId: ", "")
    assert login.secret not in message


def test_without_credentials_nobody_is_asked(s3: S3, folder: Path) -> None:
    with pytest.raises(upload.UploadFailed) as caught:
        upload.run(folder, "r1", s3.url())
    assert "none in the environment, in the credentials file" in str(caught.value)
    assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in str(caught.value)


def test_the_credentials_file_and_the_environment_s_endpoint_will_do(
    s3: S3, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "credentials"
    file.write_text(f"[lab]\naws_access_key_id = {s3.key}\naws_secret_access_key = {s3.secret}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_PROFILE", "lab")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.endpoint)
    assert upload.run(folder, "r1", "s3://results/by-file").startswith("s3://results/by-file/r1/ (")


def test_a_store_that_is_down_is_told_soon(login: S3, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(upload.UploadFailed) as caught:
        upload.run(folder, "r1", f"s3://results/x?endpoint=http://127.0.0.1:{port}")
    message = str(caught.value)
    assert message.startswith(f"wanted: http://127.0.0.1:{port} to answer\nfound: ")
    assert "Connection refused" in message
    assert "0x" not in message


def test_what_is_no_store_at_all_is_told(login: S3, folder: Path) -> None:
    with pytest.raises(upload.UploadFailed) as caught:
        upload.run(folder, "r1", login.url().replace("http://", "https://"))
    assert "wanted: a certificate of https://127.0.0.1" in str(caught.value)
    assert "AWS_CA_BUNDLE" in str(caught.value)


def test_an_upload_has_an_end(login: S3, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "TOTAL_S", 0.0)
    with pytest.raises(upload.UploadFailed, match="0 files are there by now"):
        upload.run(folder, "r1", login.url())


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://results/x", "found: 'http://results/x'"),
        ("s3:///x", "a bucket: 3 to 63"),
        ("s3://Up_Per/x", "a bucket: 3 to 63"),
        ("s3://results/x?endpont=http://a", "found: 's3://results/x?endpont=http://a'"),
        ("s3://results/x?endpoint=minio:9000", "the endpoint 'minio:9000'"),
        ("s3://results/x?endpoint=http://minio:9000/path", "without a path"),
        ("s3://KEY:hunter2@results/x", "a URL with credentials in it (not shown)"),
        ("s3://results/x?endpoint=http://KEY:hunter2@minio", "a URL with credentials in it (not shown)"),
    ],
)
def test_a_url_that_is_none_is_refused_before_a_run(url: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        upload.check(url)
    assert told in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_aws_itself_needs_no_endpoint() -> None:
    place = upload.place("s3://results/a/b/?region=eu-central-1", {})
    assert (place.endpoint, place.region, place.prefix) == ("https://s3.amazonaws.com", "eu-central-1", "a/b")
    assert upload.place("s3://results", {}).region == ""
    assert upload.place("s3://results", {"AWS_ENDPOINT_URL": "http://ceph:80"}).region == "us-east-1"


@pytest.mark.parametrize(
    ("bucket", "line"), [("results", "uploaded: s3://results/run/"), ("nowhere", "not uploaded: ")]
)
def test_a_run_ends_with_its_own_exit_code_whatever_the_store_says(
    login: S3, bucket: str, line: str, tmp_path: Path
) -> None:
    """A run of one scenario that fails, with the real plugins and a record as the real one has."""
    (tmp_path / "conftest.py").write_text(
        "import pytest\nfrom pathlib import Path\nfrom lab.evidence.record import RunRecord, ScenarioRecord\n"
        "pytest_plugins = ['reports.plugin']\n"
        "@pytest.hookimpl(tryfirst=True)\n"
        "def pytest_collection_finish(session):\n"
        "    record = RunRecord('r9', Path('out/r9').absolute())\n"
        "    record.scenarios = [ScenarioRecord('one', 'f', item.nodeid) for item in session.items]\n"
        "    session.config.pluginmanager.register(record, 'virtlab-record')\n"
    )
    (tmp_path / "test_it.py").write_text("def test_one():\n    raise AssertionError('the product')\n")
    done = subprocess.run(
        [*PYTEST, "--rootdir", str(tmp_path), str(tmp_path), f"--upload={login.url(bucket=bucket, prefix='run')}"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert line in done.stdout, done.stdout + done.stderr
    assert done.returncode == 1
    assert (tmp_path / "out/r9/run.json").exists()
    assert login.secret not in done.stdout + done.stderr


def test_an_upload_that_cannot_be_ends_a_run_before_it_begins(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("pytest_plugins = ['reports.plugin']\n")
    (tmp_path / "test_it.py").write_text("def test_one():\n    print('it ran')\n")
    done = subprocess.run(
        [*PYTEST, "-s", str(tmp_path), "--upload=nonsense"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 4
    assert "--upload: wanted: s3://BUCKET" in done.stderr
    assert "it ran" not in done.stdout
