"""dstack-shim top, in a real terminal (tmux) and as text."""

import json
import os
import re
import subprocess
import uuid

import pytest
import requests
from support.processes import SHIM, Shim, wait_until
from support.shim_calls import Calls

pytestmark = pytest.mark.timeout(180)


class Tmux:
    """One window of a server of its own, with a program in it."""

    def __init__(self, *command, width: int, height: int, environment: dict[str, str]):
        self.socket = f"top-{uuid.uuid4().hex[:8]}"
        assigned = [word for name, value in environment.items() for word in ("-e", f"{name}={value}")]
        self.call("-f", "/dev/null", "new-session", "-d", "-x", str(width), "-y", str(height), *assigned, *map(str, command))

    def call(self, *arguments: str) -> str:
        return subprocess.run(["tmux", "-L", self.socket, *arguments], check=True, capture_output=True, text=True).stdout

    def screen(self) -> list[str]:
        return self.call("capture-pane", "-p").splitlines()

    def text(self) -> str:
        return "\n".join(self.screen())

    def keys(self, *keys: str) -> None:
        self.call("send-keys", *keys)

    def resize(self, width: int, height: int) -> None:
        self.call("resize-window", "-x", str(width), "-y", str(height))

    def ended(self) -> bool:
        return subprocess.run(["tmux", "-L", self.socket, "has-session"], capture_output=True).returncode != 0

    def __enter__(self) -> "Tmux":
        return self

    def __exit__(self, *_):
        subprocess.run(["tmux", "-L", self.socket, "kill-server"], capture_output=True)


@pytest.fixture(scope="module")
def shim(tmp_path_factory, image):
    """With two jobs that write and use CPU."""
    with Shim(tmp_path_factory.mktemp("top") / "home") as running:
        running.wait_ready()
        for name in ("busy-one", "busy-two"):
            work = ["sh", "-c", "echo first line of $0; while :; do :; done", name]
            client(running, "run", "--detach", "--image", image, "--name", name, "--", *work)
        yield running
        client(running, "rm", "--force", "busy-one", "busy-two")


def client(shim: Shim, *arguments: str) -> str:
    command = [SHIM, *arguments[:1], "--shim-http-port", str(shim.port), *arguments[1:]]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def top(shim: Shim, width: int, height: int, **environment: str) -> Tmux:
    command = [SHIM, "top", "--interval", "1", "--shim-http-port", str(shim.port)]
    return Tmux(*command, width=width, height=height, environment={"LANG": "C.UTF-8", **environment})


def test_the_figures_as_json_are_those_of_the_api_and_of_the_metrics(shim):
    shown = json.loads(client(shim, "top", "--json"))
    listed = Calls(shim).get("/api/tasks?local=1&details=1").json()["tasks"]
    assert {(task["id"], task["name"], task["image"], task["status"]) for task in shown["tasks"]} == {
        (task["id"], task["name"], task["image_name"], task["status"]) for task in listed
    }
    metrics = requests.get(f"{shim.url}/metrics", timeout=10).text
    running = float(re.search(r'^dstack_shim_tasks\{status="running"\} (\S+)', metrics, re.M)[1])
    assert running == len([task for task in shown["tasks"] if task["status"] == "running"]) == 2
    for task in shown["tasks"]:
        # A loop that does nothing uses CPU wherever it runs; how much depends on what else does.
        assert task["cpu_percent"] > 0
        assert 0 < task["memory"]["used"] < task["memory"]["total"]
    disk = os.statvfs(subprocess.run(["docker", "info", "-f", "{{.DockerRootDir}}"], check=True, capture_output=True, text=True).stdout.strip())
    assert shown["disk"]["total"] == disk.f_blocks * disk.f_frsize
    assert shown["problem"] is None


def test_once_prints_the_same_as_text(shim):
    lines = client(shim, "top", "--once").splitlines()
    assert [line.split()[1] for line in lines if line.split()[2:3] == ["running"]] in (["busy-one", "busy-two"], ["busy-two", "busy-one"])


@pytest.mark.parametrize(("width", "height"), [(40, 10), (80, 24), (200, 60)])
def test_every_size_of_terminal_shows_tasks_and_keys(shim, width, height):
    with top(shim, width, height) as window:
        wait_until(lambda: "busy-one" in window.text() and "busy-two" in window.text(), "the tasks", 30, pause=0.2)
        screen = window.screen()
        assert screen[-1].startswith("q quit")
        assert all(len(line) <= width for line in screen)
        window.keys("q")
        wait_until(window.ended, "the end of top", 30, pause=0.1)


def test_a_resize_is_followed(shim):
    with top(shim, 80, 24) as window:
        wait_until(lambda: "busy-one" in window.text(), "the tasks", 30, pause=0.2)
        assert "IMAGE" not in window.text()
        window.resize(200, 40)
        wait_until(lambda: "IMAGE" in window.text() and window.screen()[-1].startswith("q quit"), "the wide screen", 30, pause=0.2)


def test_a_tasks_log_is_shown_and_a_stop_asks_first(shim, image):
    client(shim, "run", "--detach", "--image", image, "--name", "aaa-stops", "--", "sh", "-c", "echo to be read; sleep 1000")
    with top(shim, 100, 24) as window:
        wait_until(lambda: "aaa-stops" in window.text(), "the task", 30, pause=0.2)
        window.keys("n")
        window.keys("k", "k", "k", "k")
        window.keys("l")
        wait_until(lambda: "to be read" in window.text(), "its log", 30, pause=0.2)
        window.keys("l")
        window.keys("s")
        wait_until(lambda: "Stop aaa-stops" in window.screen()[-1], "the question", 30, pause=0.1)
        window.keys("n")
        wait_until(lambda: window.screen()[-1].startswith("q quit"), "no question", 30, pause=0.1)
        assert "aaa-stops" in [task["name"] for task in json.loads(client(shim, "ps", "--json")) if task["status"] == "running"]
        window.keys("s")
        wait_until(lambda: "Stop aaa-stops" in window.screen()[-1], "the question", 30, pause=0.1)
        window.keys("y")
        wait_until(lambda: "was stopped" in window.text(), "the stop", 60, pause=0.2)
    client(shim, "rm", "aaa-stops")


def test_no_colour_and_no_utf8_are_respected(shim):
    with top(shim, 80, 24, NO_COLOR="1", LANG="C", LC_ALL="C") as window:
        wait_until(lambda: "busy-one" in window.text(), "the tasks", 30, pause=0.2)
        painted = window.call("capture-pane", "-p", "-e")
        assert window.text().isascii()
        assert not re.search(r"\x1b\[[0-9;]*(3[0-7]|9[0-7])m", painted)


def test_without_a_terminal_it_says_what_to_use(shim):
    done = subprocess.run([SHIM, "top", "--shim-http-port", str(shim.port)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 1
    assert "--once" in done.stderr
