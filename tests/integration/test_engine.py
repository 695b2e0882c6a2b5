"""The Docker side of the shim (a library) against the real engine, and against Podman where it is installed."""

import hashlib
import io
import json
import os
import shutil
import socket
import ssl
import subprocess
import tarfile
import tempfile
import threading
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


class TcpEngine:
    """The engine's socket behind TCP; with a folder of certificates behind TLS that wants the client's too."""

    def __init__(self, certificates: Path | None = None):
        self.context = None
        if certificates:
            self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates / "ca.pem")
            self.context.load_cert_chain(certificates / "server.pem", certificates / "server-key.pem")
            self.context.verify_mode = ssl.CERT_REQUIRED
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"tcp://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket):
        engine = socket.socket(socket.AF_UNIX)
        with connection, engine:
            try:
                if self.context:
                    connection = self.context.wrap_socket(connection, server_side=True)
                engine.connect("/var/run/docker.sock")
                answers = threading.Thread(target=self.copy, args=(engine, connection), daemon=True)
                answers.start()
                self.copy(connection, engine)
                answers.join()
            except OSError:
                pass

    @staticmethod
    def copy(source: socket.socket, target: socket.socket):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def make_certificates(folder: Path) -> Path:
    """What DOCKER_CERT_PATH holds (ca.pem, cert.pem, key.pem), and server.pem with its key for 127.0.0.1."""
    folder.mkdir()

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "2"]
    openssl("req", "-x509", *new, "-subj", "/CN=ca", "-keyout", "ca-key.pem", "-out", "ca.pem")
    for name, key, subject in (("server.pem", "server-key.pem", "/CN=engine"), ("cert.pem", "key.pem", "/CN=client")):
        openssl("req", "-x509", *new, "-subj", subject, "-addext", "subjectAltName=IP:127.0.0.1", "-addext",
                "basicConstraints=critical,CA:FALSE", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-keyout", key, "-out", name)  # fmt: skip
    return folder


def ask_for_settings(**environment: str) -> subprocess.CompletedProcess:
    """One call to the engine that DOCKER_HOST names."""
    return subprocess.run(
        [TESTS, "the engine tells its version and settings"],
        env={**os.environ, "ENGINE_IMAGE": "none:1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


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


def test_the_engine_behind_tcp():
    with TcpEngine() as engine:
        result = ask_for_settings(DOCKER_HOST=engine.host)
    assert result.returncode == 0, result.stdout


def test_the_engine_behind_tls(tmp_path):
    ours = make_certificates(tmp_path / "ours")
    others = make_certificates(tmp_path / "others")
    with TcpEngine(ours) as engine:
        checked = dict(DOCKER_HOST=engine.host, DOCKER_CERT_PATH=str(ours), DOCKER_TLS_VERIFY="1")
        result = ask_for_settings(**checked)
        assert result.returncode == 0, result.stdout
        # Another authority's engine is not believed in.
        (tmp_path / "mixed").mkdir()
        for name, source in (("ca.pem", others), ("cert.pem", ours), ("key.pem", ours)):
            shutil.copy(source / name, tmp_path / "mixed")
        result = ask_for_settings(**{**checked, "DOCKER_CERT_PATH": str(tmp_path / "mixed")})
        assert result.returncode != 0
        assert "certificate" in result.stdout and engine.host.replace("tcp", "https") in result.stdout.replace("\n", "")
        # Unless nobody asked for the check.
        result = ask_for_settings(DOCKER_HOST=engine.host, DOCKER_CERT_PATH=str(tmp_path / "mixed"))
        assert result.returncode == 0, result.stdout
        # The engine does not believe in another authority's client.
        assert ask_for_settings(**{**checked, "DOCKER_CERT_PATH": str(others)}).returncode != 0


@pytest.mark.skipif(not shutil.which("podman"), reason="Podman is not installed")
def test_podman_does_what_the_shim_asks(layered, closed_image, closed_registry, tmp_path):
    path = tmp_path / "podman.sock"
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
            # In a folder of its own: conmon leaves a file "oom" in the current one.
            ["env", "-C", tmp_path, "podman", "--root", tmp_path / "root", "--runroot", run, "system", "service", "--time=0", f"unix://{path}"],
            tmp_path / "podman.log",
            {
                "CONTAINERS_REGISTRIES_CONF": str(tmp_path / "registries.conf"),
                "CONTAINERS_CONF": str(tmp_path / "containers.conf"),
            },
        ),
    ):
        wait_until(path.exists, "Podman's socket")
        try:
            run_tests(f"unix://{path}", layered, closed_image, closed_registry)
        finally:
            # Podman leaves its storage mounted.
            subprocess.run(["umount", tmp_path / "root/overlay"], capture_output=True)
