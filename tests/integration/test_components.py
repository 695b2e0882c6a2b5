"""Replacing the two programs of a host, as a server does it."""

import http.server
import shutil
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
import requests
from support.hosts import stand_in_runner
from support.processes import RUNNER, SHIM, Shim, wait_until
from support.shim_calls import Calls


class Downloads:
    """Serves files by name; those of `held` stay halfway until they are let go."""

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.held: set[str] = set()
        self.halfway = threading.Event()
        self.go_on = threading.Event()
        downloads = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path[1:].partition("?")[0]
                if name not in downloads.files:
                    return self.send_error(404)
                data = downloads.files[name]
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                half = len(data) // 2
                self.wfile.write(data[:half])
                if name in downloads.held:
                    self.wfile.flush()
                    downloads.halfway.set()
                    downloads.go_on.wait(60)
                self.wfile.write(data[half:])

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/{name}"


@pytest.fixture
def downloads():
    served = Downloads()
    yield served
    served.go_on.set()
    served.server.shutdown()


def runner_of(calls: Calls) -> dict:
    return next(part for part in calls.get("/api/components").json()["components"] if part["name"] == "dstack-runner")


def shim_of(calls: Calls) -> dict:
    return next(part for part in calls.get("/api/components").json()["components"] if part["name"] == "dstack-shim")


def install(calls: Calls, name: str, url: str) -> requests.Response:
    return calls.post("/api/components/install", name=name, url=url)


def test_a_runner_that_was_absent_is_installed_and_used(home, image, tmp_path, downloads):
    downloads.files["runner"] = RUNNER.read_bytes()
    downloads.held.add("runner")
    path = tmp_path / "bin/dstack-runner"
    with Shim(home, runner=path) as shim:
        calls = Calls(shim.wait_ready())
        assert runner_of(calls) == {"name": "dstack-runner", "version": "", "status": "not-installed"}
        answer = install(calls, "dstack-runner", downloads.url("runner"))
        assert (answer.status_code, answer.text) == (200, "")
        assert downloads.halfway.wait(30)
        assert runner_of(calls)["status"] == "installing"
        assert install(calls, "dstack-runner", downloads.url("runner")).status_code == 409
        downloads.go_on.set()
        wait_until(lambda: runner_of(calls)["status"] == "installed", "the installation")
        assert runner_of(calls)["version"] == "latest"
        assert path.stat().st_mode & 0o777 == 0o755
        task = calls.run(image)
        assert task["status"] == "running", task
        calls.terminate(task["id"])


def test_a_shim_killed_in_the_middle_leaves_the_old_runner_and_nothing_else(home, tmp_path, downloads):
    downloads.files["runner"] = RUNNER.read_bytes()
    downloads.held.add("runner")
    path = stand_in_runner(tmp_path / "dstack-runner", "")
    before = path.read_bytes()
    names = sorted(entry.name for entry in tmp_path.iterdir())
    with Shim(home, runner=path) as shim:
        calls = Calls(shim.wait_ready())
        install(calls, "dstack-runner", downloads.url("runner"))
        assert downloads.halfway.wait(30)
        shim.kill()
    assert path.read_bytes() == before
    with Shim(home, runner=path) as shim:
        assert runner_of(Calls(shim.wait_ready()))["status"] == "installed"
        assert sorted(entry.name for entry in tmp_path.iterdir() if not entry.name.startswith("home")) == names


def test_a_shim_is_replaced_under_itself_and_the_next_start_is_the_new_one(home, tmp_path, downloads):
    binary = tmp_path / "dstack-shim"
    shutil.copy(SHIM, binary)
    downloads.files["shim"] = SHIM.read_bytes()
    downloads.files["runner"] = RUNNER.read_bytes()
    old = binary.stat().st_ino
    with Shim(home, binary=binary) as shim:
        calls = Calls(shim.wait_ready())
        install(calls, "dstack-shim", downloads.url("runner"))
        wait_until(lambda: shim_of(calls)["status"] == "error", "the refusal of another program")
        assert shim_of(calls)["version"] == "latest"
        assert binary.stat().st_ino == old
        install(calls, "dstack-shim", downloads.url("shim"))
        wait_until(lambda: shim_of(calls)["status"] == "installed", "the installation")
        assert binary.stat().st_ino != old
        assert calls.post("/api/shutdown", force=False).status_code == 200
        assert shim.wait() == 0
    with Shim(home, binary=binary) as shim:
        shim.wait_ready()


def certificates(folder, *names: str):
    """An authority of its own and a server's certificate by it: the authority's file, the server's certificate and key."""
    authority, key, request, certificate = (folder / name for name in ("ca.pem", "key.pem", "request.pem", "server.pem"))
    openssl = ["openssl", "req", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    own = ["-x509", "-keyout", folder / "ca.key", "-out", authority, "-subj", "/CN=test", "-days", "2"]
    subprocess.run([*openssl, *own], check=True, capture_output=True)
    subprocess.run([*openssl, "-keyout", key, "-out", request, "-subj", "/CN=localhost"], check=True, capture_output=True)
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    signing = ["-CA", authority, "-CAkey", folder / "ca.key", "-CAcreateserial", "-extfile", folder / "names", "-days", "2"]
    subprocess.run(["openssl", "x509", "-req", "-in", request, "-out", certificate, *signing], check=True, capture_output=True)
    return authority, certificate, key


@pytest.mark.parametrize("bundle", ["/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"])
def test_a_download_trusts_the_bundle_of_any_distribution(home, tmp_path, downloads, bundle):
    """The host has this one file and neither of the places that OpenSSL knows."""
    authority, certificate, key = certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    downloads.server.socket = context.wrap_socket(downloads.server.socket, server_side=True)
    downloads.files["runner"] = b"#!/bin/sh\necho dstack-runner version 1.2.3\n"
    # Only the shim sees these mounts.
    host = tmp_path / "as-on-another-host"
    above = Path(bundle).parents[-3]
    script = "unset SSL_CERT_FILE SSL_CERT_DIR; mount -t tmpfs none /etc/ssl"
    script += f"; [ {above} = /etc/ssl ] || {{ mkdir -p {above}; mount -t tmpfs none {above}; }}"
    script += f"; mkdir -p $(dirname {bundle}); cp {authority} {bundle}; exec {SHIM} \"$@\""
    host.write_text(f"#!/bin/sh\nexec unshare --mount --propagation private sh -c '{script}' sh \"$@\"\n")
    host.chmod(0o755)
    with Shim(home, runner=tmp_path / "bin/dstack-runner", binary=host) as shim:
        calls = Calls(shim.wait_ready())
        install(calls, "dstack-runner", downloads.url("runner").replace("http://", "https://") + "?X-Amz-Signature=secret")
        wait_until(lambda: runner_of(calls)["status"] != "installing", "the installation")
        assert runner_of(calls) == {"name": "dstack-runner", "version": "1.2.3", "status": "installed"}, shim.log()
        # Of an address that fails, the query of which is a key.
        install(calls, "dstack-runner", downloads.url("missing").replace("http://", "https://") + "?X-Amz-Signature=secret")
        wait_until(lambda: "missing" in shim.log() and runner_of(calls)["status"] == "installed", "the failure")
        assert "secret" not in shim.log()
