"""Images and registries beyond the one of busybox. Import the fixtures where they are needed."""

import contextlib
import io
import json
import os
import subprocess
import tarfile
import uuid
from pathlib import Path

import bcrypt
import pytest
import requests
from conftest import docker
from support.processes import Program, free_port, wait_until


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


def start_registry(configuration: Path, address: str) -> Program:
    program = Program(["docker-registry", "serve", configuration], configuration.with_suffix(".log"))

    def answers():
        try:
            return requests.get(f"http://{address}/v2/", timeout=5).status_code in (200, 401)
        except requests.ConnectionError:
            return False

    wait_until(answers, "the registry")
    return program


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
    with start_closed_registry(tmp_path, "reader", 'p "w$') as registry:
        yield registry


@contextlib.contextmanager
def start_closed_registry(tmp_path: Path, user: str, password: str):
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
    with start_registry(tmp_path / "registry.yml", address):
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
