"""The Docker side of the shim (a library) against the real engine, and against Podman where it is installed."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import uuid
from pathlib import Path

import bcrypt
import pytest
import requests
from conftest import docker
from support.processes import ROOT, Program, free_port, wait_until

TESTS = Path(os.environ.get("DSTACK_ENGINE_TESTS", ROOT / "build/dev/tests/integration/engine_tests"))


def layered_image(name: str, base: str) -> None:
    """An image with two more layers than its base, 8 MiB each that cannot be compressed."""
    for number in range(2):
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            entry = tarfile.TarInfo(f"layer{number}")
            entry.size = 8 << 20
            tar.addfile(entry, io.BytesIO(os.urandom(entry.size)))
        container = docker("create", base if number == 0 else name, "true").strip()
        subprocess.run(["docker", "cp", "-", f"{container}:/"], input=archive.getvalue(), check=True, capture_output=True)
        docker("commit", container, name)
        docker("rm", container)


def layer_bytes(name: str) -> int:
    """Of the two layers on top; the engine has the base already."""
    registry, rest = name.split("/", 1)
    repository, tag = rest.split(":")
    accepted = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
    manifest = requests.get(f"http://{registry}/v2/{repository}/manifests/{tag}", headers={"Accept": accepted}, timeout=30)
    return sum(layer["size"] for layer in json.loads(manifest.text)["layers"][-2:])


@pytest.fixture
def layered(registry, image) -> str:
    """In the registry, and nowhere else."""
    name = f"{registry}/layered-{uuid.uuid4().hex[:8]}:1"
    docker("pull", image)
    layered_image(name, image)
    docker("push", name)
    docker("rmi", name)
    yield name
    subprocess.run(["docker", "rmi", "-f", name], capture_output=True)


@pytest.fixture
def closed_registry(tmp_path):
    """A registry that wants a password; its address, a user and the password."""
    user, password = "reader", 'p "w$'
    (tmp_path / "htpasswd").write_text(f"{user}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(5)).decode()}\n")
    address = f"127.0.0.1:{free_port()}"
    (tmp_path / "registry.yml").write_text(
        json.dumps(
            {
                "version": "0.1",
                "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}},
                "http": {"addr": address},
                "auth": {"htpasswd": {"realm": "tests", "path": str(tmp_path / "htpasswd")}},
            }
        )
    )
    with Program(["docker-registry", "serve", tmp_path / "registry.yml"], tmp_path / "registry.log"):

        def answers():
            try:
                return requests.get(f"http://{address}/v2/", timeout=5).status_code == 401
            except requests.ConnectionError:
                return False

        wait_until(answers, "the closed registry")
        yield address, user, password


@pytest.fixture
def closed_image(closed_registry, image, tmp_path) -> str:
    """In the closed registry, and nowhere else."""
    address, user, password = closed_registry
    name = f"{address}/secret:1"
    configuration = tmp_path / "docker-configuration"
    login = ["docker", "--config", str(configuration), "login", "-u", user, "--password-stdin", address]
    subprocess.run(login, input=password.encode(), check=True, capture_output=True)
    docker("pull", image)
    docker("tag", image, name)
    docker("--config", str(configuration), "push", name)
    docker("rmi", name)
    yield name
    subprocess.run(["docker", "rmi", "-f", name], capture_output=True)


def run_tests(host: str, layered: str, closed_image: str, closed_registry) -> None:
    _, user, password = closed_registry
    environment = {
        "DOCKER_HOST": host,
        "ENGINE_IMAGE": layered,
        "ENGINE_LAYER_BYTES": str(layer_bytes(layered)),
        "ENGINE_PRIVATE_IMAGE": closed_image,
        "ENGINE_USER": user,
        "ENGINE_PASSWORD": password,
        "ENGINE_PREFIX": f"engine-test-{hashlib.sha256(layered.encode()).hexdigest()[:8]}-",
    }
    # In the order of the file: the pull comes first.
    result = subprocess.run(
        [TESTS, "--order", "decl"], env={**os.environ, **environment}, capture_output=True, text=True, timeout=170
    )
    print(result.stdout, result.stderr)
    assert result.returncode == 0, result.stdout


def test_the_engine_does_what_the_shim_asks(layered, closed_image, closed_registry):
    run_tests(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"), layered, closed_image, closed_registry)


@pytest.mark.skipif(not shutil.which("podman"), reason="Podman is not installed")
def test_podman_does_what_the_shim_asks(layered, closed_image, closed_registry, tmp_path):
    socket = tmp_path / "podman.sock"
    # The registries here speak plain HTTP.
    (tmp_path / "registries.conf").write_text(
        "".join(
            f'[[registry]]\nlocation = "{name.split("/")[0]}"\ninsecure = true\n' for name in (layered, closed_image)
        )
    )
    # Its usual limits are above what a test machine that is a container itself may set.
    limits = ["nofile=1024:1024", "nproc=1024:1024"]
    (tmp_path / "containers.conf").write_text(f"[containers]\ndefault_ulimits = {json.dumps(limits)}\n")
    # Podman refuses a --runroot of more than 50 characters.
    with (
        tempfile.TemporaryDirectory() as run,
        Program(
            ["podman", "--root", tmp_path / "root", "--runroot", run, "system", "service", "--time=0", f"unix://{socket}"],
            tmp_path / "podman.log",
            {
                "CONTAINERS_REGISTRIES_CONF": str(tmp_path / "registries.conf"),
                "CONTAINERS_CONF": str(tmp_path / "containers.conf"),
            },
        ),
    ):
        wait_until(socket.exists, "Podman's socket")
        try:
            run_tests(f"unix://{socket}", layered, closed_image, closed_registry)
        finally:
            # Podman leaves its storage mounted.
            subprocess.run(["umount", tmp_path / "root/overlay"], capture_output=True)
