"""dstack-shim run: a job from a person's hand, and what becomes of its output, its end and its task."""

import signal
import subprocess

import pytest
from conftest import containers_of
from support.person import TRAPPING, Client, on_terminal
from support.processes import wait_until


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


def test_a_detached_job_goes_on_and_goes_away_by_itself(client, shim, tmp_path):
    script = "echo begun; until [ -e /data/over ]; do sleep 0.1; done"
    task = client.detach("job", script, "--volume", f"{tmp_path}:/data", "--rm")
    client.wait_for_output("job", b"begun")
    assert client.list()["job"]["id"] == task
    (tmp_path / "over").touch()
    wait_until(lambda: client.list() == {}, "the removal of the task")
    assert containers_of(shim.home) == []


def test_what_keeps_a_job_from_running_is_told(client):
    ended = subprocess.run(
        client.command("run", "--image", f"{client.image}-no-such-image", "--rm", "--", "true"), capture_output=True, timeout=120
    )
    assert ended.returncode == 1 and b"creating_container_error" in ended.stderr
    assert client.list() == {}
    ended = subprocess.run(
        client.command("run", "--image", client.image, "--rm", "--", "no-such-command"), capture_output=True, timeout=120
    )
    assert ended.returncode == 1 and b"no-such-command" in ended.stderr
