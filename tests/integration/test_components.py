"""Replacing the two programs of a host, as a server does it."""

import http.server
import shutil
import threading

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
                name = self.path[1:]
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
