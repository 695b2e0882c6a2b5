"""Uploads a folder of release binaries to a bucket; see scripts/upload."""

import argparse
import base64
import hashlib
import platform
import re
import subprocess
import sys
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

ARCHITECTURES = {"amd64": 62, "arm64": 183}  # with the machine's number in an ELF header
PROGRAMS = ("dstack-shim", "dstack-runner")
INSTALLER = Path(__file__).resolve().parents[1] / "install.sh"
RELEASE = re.compile(r"\d+\.\d+\.\d+")


def fail(text: str) -> None:
    sys.exit(f"scripts/upload: {text}")


def check(path: Path, program: str, architecture: str, version: str) -> bytes:
    """The binary's bytes, if it is what its name says."""
    if not path.is_file():
        fail(f"{path} is not there; scripts/build --all makes it")
    content = path.read_bytes()
    machine = int.from_bytes(content[18:20], "little")
    if content[:4] != b"\x7fELF" or machine != ARCHITECTURES[architecture]:
        fail(f"{path} is not an {architecture} binary")
    if platform.machine() == {"amd64": "x86_64", "arm64": "aarch64"}[architecture]:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10).stdout.split()
        if said[:2] != [program, "version"] or len(said) != 3:
            fail(f"{path} --version says {' '.join(said)!r}")
        # A server installs once more whatever is older than what it asked for, so the two must agree.
        if said[2] != "latest" and said[2] != version:
            fail(f"{path} is version {said[2]}, the upload {version}")
    return content


def public_url(given: str | None, client, bucket: str) -> str:
    if given:
        return given.rstrip("/")
    # What the client itself would ask, without a signature: the right host and style for this endpoint.
    unsigned = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "x"}).partition("?")[0]
    return unsigned.removesuffix("/x")


def installer_for(url: str) -> bytes:
    text = INSTALLER.read_text()
    line = 'default_from=""\n'
    if text.count(line) != 1:
        fail(f"{INSTALLER} has no single line {line!r}")
    return text.replace(line, f'default_from="{url}"\n').encode()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("bucket")
    parser.add_argument("version")
    parser.add_argument("dist", type=Path)
    parser.add_argument("--public-url")
    parser.add_argument("--dry-run", action="store_true")
    arguments = parser.parse_args()
    if not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z.+_-]*", arguments.version):
        fail(f"DSTACK_SHIM_UPLOAD_VERSION={arguments.version!r} is not a version")

    files = {}
    for program in PROGRAMS:
        for architecture in ARCHITECTURES:
            name = f"{program}-linux-{architecture}"
            files[name] = check(arguments.dist / name, program, architecture, arguments.version)
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items())
    files["SHA256SUMS"] = sums.encode()

    # Stores other than Amazon's do not all know the newer checksums; Content-MD5 they all verify.
    client = boto3.client("s3", config=Config(request_checksum_calculation="when_required", retries={"mode": "standard"}))
    folder = f"{arguments.version}/binaries"
    url = f"{public_url(arguments.public_url, client, arguments.bucket)}/{folder}"
    files["install.sh"] = installer_for(url)
    for name, content in files.items():
        target = f"s3://{arguments.bucket}/{folder}/{name}"
        print(f"-- {'would upload' if arguments.dry_run else 'uploading'} {target}, {len(content)} bytes", file=sys.stderr)
        if arguments.dry_run:
            continue
        try:
            client.put_object(
                Bucket=arguments.bucket,
                Key=f"{folder}/{name}",
                Body=content,
                ContentType="text/plain" if name in ("SHA256SUMS", "install.sh") else "application/octet-stream",
                ContentMD5=base64.b64encode(hashlib.md5(content).digest()).decode(),
                # Under a release's number the bytes never change; `latest` and SHA256SUMS must never be stale.
                CacheControl="no-cache" if not RELEASE.match(arguments.version) else "max-age=300",
            )
        except (BotoCoreError, ClientError) as error:
            fail(f"{target}: {error}")

    print(sums, end="")
    for name in files:
        print(f"{url}/{name}")
    versioned = url.replace(f"/{folder}", "/{version}/binaries")
    print(f"DSTACK_SHIM_DOWNLOAD_URL={versioned}/dstack-shim-linux-{{arch}}")
    print(f"DSTACK_RUNNER_DOWNLOAD_URL={versioned}/dstack-runner-linux-{{arch}}")


if __name__ == "__main__":
    main()
