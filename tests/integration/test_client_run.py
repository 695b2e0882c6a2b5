"""dstack-shim run: a job from a person's hand, and what becomes of its output, its end and its task."""

import http.server
import json
import signal
import subprocess
import threading

import pytest
from conftest import containers_of
from support.person import TRAPPING, Client, interrupted_on_terminal, on_terminal
from support.processes import Shim, wait_until


@pytest.fixture
def client(shim, image) -> Client:
    return Client(shim.port, image)


def command(client: Client, script: str, *options) -> list[str]:
    return client.command("run", "--image", client.image, *options, "--", "/bin/sh", "-c", script)


def run(client: Client, script: str, *options) -> subprocess.CompletedProcess:
    return subprocess.run(command(client, script, *options), capture_output=True, timeout=120, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("script,code", [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", 128 + 9), ("kill -TERM $$", 128 + 15)])
def test_the_exit_code_is_the_jobs(client, script, code):
    assert run(client, script, "--rm").returncode == code
    assert client.list() == {}


def test_the_output_is_what_the_job_wrote(client, tmp_path):
    written = bytes(range(256)) + b"\r\n\n" + bytes(200000)
    (tmp_path / "written").write_bytes(written)
    options = ("--volume", f"{tmp_path}:/data", "--env", "WORD=a b", "--workdir", "/data", "--user", "0:0", "--name", "job")
    ended = run(client, 'cat written; echo "$WORD"', *options)
    assert (ended.returncode, ended.stdout) == (0, written + b"a b\n")
    # Without a terminal the way there is told in lines.
    assert b"\r" not in ended.stderr and b"\x1b" not in ended.stderr
    assert client("logs", "job").stdout == ended.stdout


def test_on_a_terminal_the_output_is_shown_as_it_comes(client):
    code, shown = on_terminal(command(client, "printf 'a\\rb\\n'; exit 4", "--rm"))
    assert code == 4
    assert "a\rb\r\n" in shown


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_passed_on_as_a_stop(client, number):
    running = subprocess.Popen(command(client, TRAPPING), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout.readline() == b"ready\n"
    running.send_signal(number)
    output, _ = running.communicate(timeout=60)
    assert b"caught" in output
    assert running.returncode == 128 + number
    assert [task["status"] for task in client.list().values()] == ["terminated"]


def test_ctrl_c_stops_the_job_and_not_just_its_reader(client):
    code, shown = interrupted_on_terminal(command(client, TRAPPING, "--name", "job"), b"ready")
    assert code == 128 + signal.SIGINT
    assert b"stopping the command" in shown and b"caught" in shown
    client.detach("other", TRAPPING)
    code, shown = interrupted_on_terminal(client.command("logs", "-f", "other"), b"ready")
    assert code == -signal.SIGINT
    assert b"caught" not in shown
    assert {task["name"]: task["status"] for task in client.list().values()} == {"job": "terminated", "other": "running"}


def test_a_job_whose_output_nobody_reads_is_stopped(client):
    running = subprocess.Popen(command(client, "yes", "--rm"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout.read(4) == b"y\ny\n"
    running.stdout.close()
    running.stderr.read()
    assert running.wait(60) == 128 + signal.SIGPIPE
    assert client.list() == {}


def test_a_job_that_is_stopped_by_another_command_ends_this_one(client):
    running = subprocess.Popen(command(client, TRAPPING, "--name", "job"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout.readline() == b"ready\n"
    assert client("stop", "job").returncode == 0
    output, _ = running.communicate(timeout=60)
    assert b"caught" in output
    assert running.returncode == 128 + signal.SIGINT


def test_a_container_that_is_killed_is_told_after_what_it_wrote(client, shim):
    running = subprocess.Popen(command(client, "echo last; exec sleep 1000"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout.readline() == b"last\n"
    subprocess.run(["docker", "kill", *containers_of(shim.home)], check=True, capture_output=True)
    _, complaints = running.communicate(timeout=60)
    assert running.returncode == 128 + signal.SIGKILL
    assert b"container_exited_with_error" in complaints


def test_a_shim_that_is_replaced_meanwhile_costs_nothing(home, image, tmp_path):
    script = "echo one; until [ -e /data/go ]; do sleep 0.1; done; echo two; exit 3"
    with Shim(home) as shim:
        client = Client(shim.wait_ready().port, image)
        arguments = command(client, script, "--volume", f"{tmp_path}:/data", "--rm")
        running = subprocess.Popen(arguments, stdout=subprocess.PIPE)
        assert running.stdout.readline() == b"one\n"
        assert shim.stop() == 0
    (tmp_path / "go").touch()
    with Shim(home, port=client.port) as shim:
        shim.wait_ready()
        output, _ = running.communicate(timeout=60)
        assert (running.returncode, output) == (3, b"two\n")
        assert client.list() == {}


def test_a_detached_job_goes_on_and_goes_away_by_itself(client, shim, tmp_path):
    script = "echo begun; until [ -e /data/over ]; do sleep 0.1; done"
    task = client.detach("job", script, "--volume", f"{tmp_path}:/data", "--rm")
    client.wait_for_output("job", b"begun")
    assert client.list()["job"]["id"] == task
    (tmp_path / "over").touch()
    wait_until(lambda: client.list() == {}, "the removal of the task")
    assert containers_of(shim.home) == []


@pytest.mark.parametrize("command,status", [("no-such-command", 127), ("/etc", 126)])
def test_a_command_that_cannot_be_executed_has_a_shell_s_status(client, command, status):
    ended = subprocess.run(
        client.command("run", "--image", client.image, "--rm", "--", command), capture_output=True, timeout=120
    )
    assert ended.returncode == status and command.encode() in ended.stderr
    assert client.list() == {}


def test_a_job_that_could_not_be_run_is_125(client):
    ended = client("run", "--image", f"{client.image}-no-such-image", "--rm", "--", "true")
    assert ended.returncode == 125 and b"creating_container_error" in ended.stderr
    assert client.list() == {}
    ended = client("run", "--privileged", "--", "true")
    assert ended.returncode == 125 and b"--privileged" in ended.stderr and b"nearest" in ended.stderr


class PullingShim(http.server.ThreadingHTTPServer):
    """Answers like a shim whose pull goes on a little whenever it is asked about it, and fails in the end."""

    def __init__(self):
        self.megabytes = iter([0, 5, 5, 10])
        super().__init__(("127.0.0.1", 0), Answers)
        threading.Thread(target=self.serve_forever).start()

    def task(self) -> dict:
        task = {"id": "1", "status": "pulling", "termination_reason": "creating_container_error", "termination_message": "enough"}
        megabytes = next(self.megabytes, None)
        if megabytes is None:
            return {**task, "status": "terminated"}
        numbers = {"downloaded_bytes": megabytes * 10**6, "extracted_bytes": 0, "total_bytes": 10**7}
        return {**task, "image_pull_progress": {**numbers, "is_total_bytes_final": megabytes > 0}}

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Answers(http.server.BaseHTTPRequestHandler):
    def answer(self, content: dict) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(self.server.task())

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer({})

    def log_message(self, *_):
        pass


def test_a_pull_is_told_in_lines_where_there_is_no_terminal():
    with PullingShim() as shim:
        ended = Client(shim.server_port)("run", "--", "true")
    assert ended.returncode == 125
    # The next line would come 5 s after the first.
    assert ended.stderr.decode().splitlines()[1:] == [
        "pulling",
        "pulling: 0.0 MB of at least 10.0 MB",
        "terminated",
        "creating_container_error: enough",
    ]


@pytest.mark.parametrize("columns", [80, 40])
def test_a_pull_is_a_bar_on_a_terminal_and_no_wider(columns):
    with PullingShim() as shim:
        code, shown = on_terminal(Client(shim.server_port).command("run", "--", "true"), columns)
    assert code == 125
    bars = [piece.split("\x1b[K")[0] for piece in shown.split("\r") if piece.startswith("pulling [")]
    width = 20 if columns == 80 else 10
    starts = [
        f"pulling [{' ' * width}] 0.0 MB of at least 10.0 MB",
        *[f"pulling [{'#' * (width // 2)}{' ' * (width // 2)}] 5.0 MB of 10.0 MB"] * 2,
        f"pulling [{'#' * width}] 10.0 MB of 10.0 MB",
    ]
    assert len(bars) == len(starts)
    for bar, start in zip(bars, starts, strict=True):
        assert len(bar) < columns
        assert bar.startswith(start) if len(start) < columns else bar == start[: columns - 2] + "…"
