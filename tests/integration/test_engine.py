"""The Docker side of the shim (a library) against the real engine, and against Podman where it is installed."""

import hashlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest
from support.certificates import make_certificates
from support.hosts import stand_in_runner
from support.processes import ROOT, Program, Shim, free_port, wait_until
from support.registries import closed_image, closed_registry, layer_bytes, layered  # noqa: F401
from support.shim_calls import Calls

TESTS = Path(os.environ.get("DSTACK_ENGINE_TESTS", ROOT / "build/dev/tests/integration/engine_tests"))


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
    result = subprocess.run([TESTS, "--order", "decl"], env={**os.environ, **environment}, capture_output=True, text=True, timeout=170)
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


@pytest.fixture
def podman(registry, closed_registry, tmp_path) -> str:
    """DOCKER_HOST of a Podman with a storage of its own."""
    if not shutil.which("podman"):
        pytest.skip("Podman is not installed")
    # The registries here speak plain HTTP.
    (tmp_path / "registries.conf").write_text(
        "".join(f'[[registry]]\nlocation = "{name}"\ninsecure = true\n' for name in (registry, closed_registry[0]))
    )
    # Its usual limits are above what a test machine that is a container itself may set.
    limits = ["nofile=1024:1024", "nproc=1024:1024"]
    (tmp_path / "containers.conf").write_text(f"[containers]\ndefault_ulimits = {json.dumps(limits)}\n")
    # Not below tmp_path, whose length is that of the checkout's: a socket's path has 107 characters at most, Podman's
    # --runroot 50.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as short:
        path = Path(short) / "podman.sock"
        with Program(
            # In a folder of its own: conmon leaves a file "oom" in the current one.
            ["env", "-C", tmp_path, "podman", "--root", f"{short}/root", "--runroot", f"{short}/run"]
            + ["system", "service", "--time=0", f"unix://{path}"],
            tmp_path / "podman.log",
            {
                "CONTAINERS_REGISTRIES_CONF": str(tmp_path / "registries.conf"),
                "CONTAINERS_CONF": str(tmp_path / "containers.conf"),
            },
        ) as service:
            wait_until(lambda: path.exists() or service.process.poll() is not None, "Podman's socket")
            assert path.exists(), service.log()
            try:
                yield f"unix://{path}"
            finally:
                # Podman leaves its storage mounted.
                subprocess.run(["umount", f"{short}/root/overlay"], capture_output=True)


def test_podman_does_what_the_shim_asks(podman, layered, closed_image, closed_registry):
    run_tests(podman, layered, closed_image, closed_registry)


def test_tasks_on_podman(podman, image, home, tmp_path):
    port = free_port()
    ask = f"printf 'GET /api/tasks HTTP/1.0\\r\\n\\r\\n' | nc 127.0.0.1 {port} > /tmp/runner/answer || true"
    runner = stand_in_runner(tmp_path / "runner", f"{ask}\nexec sleep 1000")
    with Shim(home, runner=runner, port=port, environment={"DOCKER_HOST": podman}) as shim:
        calls = Calls(shim.wait_ready())
        info = calls.run(image, network_mode="bridge")
        assert info["status"] == "running", info
        assert sorted(port["container"] for port in info["ports"]) == [10022, 10999]
        killed = calls.run(image)
        answer = home / "runners" / killed["container_name"] / "answer"
        wait_until(lambda: answer.exists() and answer.read_text().endswith("not allowed from a task's container\n"), "a refusal")
        shim.kill()
    with Shim(home, runner=runner, environment={"DOCKER_HOST": podman}) as shim:
        calls = Calls(shim.wait_ready())
        assert calls.info(info["id"])["status"] == "running"
        for task in (info, killed):
            answer = calls.terminate(task["id"], termination_reason="aborted_by_user")
            assert answer.status_code == 200, answer.text
            assert calls.info(task["id"])["termination_reason"] == "aborted_by_user"
            assert calls.remove(task["id"]).status_code == 200
        again = calls.run(image, name="fails", container_user="no-such-user")
        assert again["status"] == "terminated"
        assert again["termination_reason"] in ("creating_container_error", "container_exited_with_error"), again
        assert "no-such-user" in again["termination_message"]
