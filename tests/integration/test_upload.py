"""scripts/upload, judged by an S3 server, by whoever downloads, and by the installer that it leaves beside the binaries."""

import os
import subprocess
from pathlib import Path

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer
from support.processes import ROOT, SHIM
from support.releases import make_release, name_here

pytestmark = pytest.mark.release

BUCKET = "releases"
NAMES = [f"dstack-{program}-linux-{architecture}" for program in ("shim", "runner") for architecture in ("amd64", "arm64")]


@pytest.fixture(scope="module")
def store():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def environment(store) -> dict[str, str]:
    """What says where and who; nothing of whoever runs the tests."""
    access = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "eu-west-1"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "DSTACK_SHIM_UPLOAD"))}
    return {**kept, **access, "AWS_DEFAULT_REGION": "eu-west-1", "AWS_ENDPOINT_URL": store, "AWS_EC2_METADATA_DISABLED": "true"}


@pytest.fixture
def bucket(store, environment) -> str:
    location = {"LocationConstraint": "eu-west-1"}
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    client = boto3.client("s3", endpoint_url=store, region_name="eu-west-1", **keys)
    client.create_bucket(Bucket=BUCKET, ACL="public-read", CreateBucketConfiguration=location)
    yield BUCKET
    requests.post(f"{store}/moto-api/reset", timeout=10)


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> Path:
    return make_release(tmp_path_factory.mktemp("release") / "dist", sums=False)


def upload(environment: dict[str, str], *arguments, **variables) -> subprocess.CompletedProcess:
    command = [ROOT / "scripts/upload", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**environment, **variables})


def test_both_variables_are_asked_for(environment):
    done = upload(environment)
    assert done.returncode == 2
    assert "set DSTACK_SHIM_UPLOAD_S3_BUCKET to the bucket's name" in done.stderr
    assert "set DSTACK_SHIM_UPLOAD_VERSION to the release" in done.stderr
    done = upload(environment, DSTACK_SHIM_UPLOAD_S3_BUCKET=BUCKET, DSTACK_SHIM_UPLOAD_VERSION="")
    assert done.returncode == 2
    assert "BUCKET" not in done.stderr
    assert "DSTACK_SHIM_UPLOAD_VERSION" in done.stderr


def test_what_is_uploaded_is_downloaded_by_the_printed_urls_and_installed(environment, store, bucket, release, tmp_path):
    done = upload(environment, "--dist", release, DSTACK_SHIM_UPLOAD_S3_BUCKET=bucket, DSTACK_SHIM_UPLOAD_VERSION="0.22.5")
    assert done.returncode == 0, done.stderr
    folder = f"{store}/{BUCKET}/0.22.5/binaries"
    urls = [line for line in done.stdout.splitlines() if line.startswith("http")]
    assert urls == [f"{folder}/{name}" for name in [*NAMES, "SHA256SUMS", "install.sh"]]
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    for url in urls:
        answer = requests.get(url, timeout=10)
        assert answer.ok, url
        (downloads / url.rpartition("/")[2]).write_bytes(answer.content)
    for name in NAMES:
        assert (downloads / name).read_bytes() == (release / name).read_bytes()
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=downloads, check=True, capture_output=True)

    # What a server formats by itself.
    template = next(line for line in done.stdout.splitlines() if line.startswith("DSTACK_SHIM_DOWNLOAD_URL="))
    template = template.partition("=")[2]
    assert template.format(version="0.22.5", arch="arm64") == f"{folder}/dstack-shim-linux-arm64"

    # The installer knows where it came from.
    root = tmp_path / "root"
    piped = subprocess.run(["sh", "-s", "--", "--root", root], input=(downloads / "install.sh").read_bytes(), capture_output=True)
    assert piped.returncode == 0, piped.stderr
    assert (root / "usr/local/bin/dstack-shim").read_bytes() == SHIM.read_bytes()


def test_a_bucket_that_is_not_there_is_named(environment, release):
    done = upload(environment, "--dist", release, DSTACK_SHIM_UPLOAD_S3_BUCKET="nowhere", DSTACK_SHIM_UPLOAD_VERSION="1.2.3")
    assert done.returncode == 1
    assert "s3://nowhere/1.2.3/binaries/dstack-shim-linux-amd64" in done.stderr
    assert "NoSuchBucket" in done.stderr


def test_a_binary_of_another_architecture_is_not_uploaded(environment, bucket, store, tmp_path):
    release = make_release(tmp_path / "dist", sums=False)
    (release / "dstack-runner-linux-arm64").write_bytes((release / "dstack-runner-linux-amd64").read_bytes())
    done = upload(environment, "--dist", release, DSTACK_SHIM_UPLOAD_S3_BUCKET=bucket, DSTACK_SHIM_UPLOAD_VERSION="1.2.3")
    assert done.returncode == 1
    assert "dstack-runner-linux-arm64 is not an arm64 binary" in done.stderr
    # Nothing half: not even the ones that were right.
    assert requests.get(f"{store}/{BUCKET}/1.2.3/binaries/dstack-shim-linux-amd64", timeout=10).status_code == 404


def test_a_version_that_servers_would_replace_is_not_uploaded(environment, bucket, tmp_path):
    release = make_release(tmp_path / "dist", sums=False)
    other = release / name_here("dstack-shim")
    # A program with the right header that tells another version.
    script = tmp_path / "other.c"
    script.write_text('#include <stdio.h>\nint main(void) { puts("dstack-shim version 0.19.1"); }\n')
    subprocess.run(["clang-19", "-o", other, script], check=True)
    done = upload(environment, "--dist", release, DSTACK_SHIM_UPLOAD_S3_BUCKET=bucket, DSTACK_SHIM_UPLOAD_VERSION="0.22.5")
    assert done.returncode == 1
    assert "is version 0.19.1, the upload 0.22.5" in done.stderr


def test_a_dry_run_uploads_nothing(environment, bucket, store, release):
    done = upload(environment, "--dist", release, "--dry-run", DSTACK_SHIM_UPLOAD_S3_BUCKET=bucket, DSTACK_SHIM_UPLOAD_VERSION="latest")
    assert done.returncode == 0, done.stderr
    assert "would upload s3://releases/latest/binaries/dstack-shim-linux-arm64" in done.stderr
    assert requests.get(f"{store}/{BUCKET}/latest/binaries/SHA256SUMS", timeout=10).status_code == 404
