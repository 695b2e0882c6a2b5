"""dstack-shim run with the image's own program: input, terminals, exit statuses, as docker run has them."""

import json
import os
import signal
import subprocess

import pytest
from conftest import containers_of
from support.person import Client, Terminal
from support.processes import wait_until


@pytest.fixture
def client(shim, image) -> Client:
    return Client(shim.port, image)


def run(client: Client, options: list[str], command: list[str] = (), **more) -> subprocess.CompletedProcess:
    arguments = client.command("run", "--image", client.image, *options, "--", *command)
    return subprocess.run(arguments, **{"capture_output": True, "timeout": 120, "stdin": subprocess.DEVNULL, **more})


@pytest.fixture
def greeter(image) -> str:
    """An image with a command and a user of its own."""
    name = f"{image}-greeter"
    text = f'FROM {image}\nENV GREETING=hello\nWORKDIR /srv\nUSER 7:8\nCMD ["sh", "-c", "echo $GREETING from $PWD as $(id -u); exit 4"]\n'
    subprocess.run(["docker", "build", "-q", "-t", name, "-"], input=text.encode(), check=True, capture_output=True)
    yield name
    subprocess.run(["docker", "rmi", "-f", name], capture_output=True)


def test_without_a_command_the_image_s_own_is_run(client, greeter):
    ended = subprocess.run(client.command("run", "--image", greeter, "--rm"), capture_output=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (4, b"hello from /srv as 7\n")
    options = ["-e", "GREETING=bye", "-u", "0", "-w", "/tmp"]
    ended = subprocess.run(client.command("run", "--image", greeter, "--rm", *options), capture_output=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (4, b"bye from /tmp as 0\n")
    assert client.list() == {}


@pytest.mark.parametrize(
    "entrypoint,command",
    [("echo", ["a", "b"]), ("sh", ["-c", "exit 9"]), ("no-such-program", []), ("/etc", []), ("", ["sh", "-c", "kill -TERM $$"])],
)
def test_an_entry_point_ends_as_under_docker_run(client, entrypoint, command):
    ours = run(client, ["--rm", "--entrypoint", entrypoint], command)
    docker = subprocess.run(
        ["docker", "run", "--rm", "--entrypoint", entrypoint, client.image, *command], capture_output=True, timeout=120
    )
    assert (ours.returncode, ours.stdout) == (docker.returncode, docker.stdout)


def test_input_and_output_come_through_byte_for_byte(client):
    given = bytes(range(256)) * 10000
    ended = run(client, ["-i", "--rm"], ["sh", "-c", "cat; echo err >&2; exit 5"], stdin=None, input=given)
    assert (ended.returncode, ended.stdout) == (5, given)
    assert ended.stderr.endswith(b"err\n")


def test_nothing_of_a_short_program_s_output_is_missed(client):
    for _ in range(5):
        assert run(client, ["-i", "--rm"], ["echo", "first"]).stdout == b"first\n"


def test_a_terminal_has_its_size_and_keys_reach_the_program(client):
    arguments = client.command("run", "-it", "--image", client.image, "--rm", "--", "sh")
    with Terminal(arguments, 40, 120) as terminal:
        terminal.type(b"until stty size | grep '^40 120'; do sleep 0.1; done\n")
        terminal.expect(b"\r\n40 120\r\n")
        terminal.resize(50, 100)
        terminal.type(b"until stty size | grep '^50 100'; do sleep 0.1; done\n")
        terminal.expect(b"\r\n50 100\r\n")
        terminal.type(b"trap 'echo caught' INT; tty\n")
        terminal.expect(b"/dev/")
        terminal.type(b"\x03")
        terminal.expect(b"caught")
        terminal.type(b"exit 6\n")
        assert terminal.wait() == 6
    assert client.list() == {}


def test_the_keys_that_detach_leave_the_container_alone(client):
    with Terminal(client.command("run", "-it", "--image", client.image, "--name", "job", "--", "sh")) as terminal:
        terminal.type(b"echo re''ady\n")
        terminal.expect(b"ready")
        terminal.type(b"\x10\x11")
        terminal.expect(b"detached")
        assert terminal.wait() == 0
    wait_until(lambda: client.list()["job"]["status"] == "running", "the task runs")


def test_ctrl_c_stops_a_program_without_a_terminal(client):
    script = "trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.1; done"
    running = subprocess.Popen(
        client.command("run", "-i", "--image", client.image, "--name", "job", "--", "sh", "-c", script),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert running.stdout.readline() == b"ready\n"
    # A task that is still being created has no grace.
    wait_until(lambda: client.list()["job"]["status"] == "running", "the task runs")
    running.send_signal(signal.SIGINT)
    output, _ = running.communicate(timeout=60)
    assert b"caught" in output
    assert running.returncode == 128 + signal.SIGINT
    assert client.list()["job"]["status"] == "terminated"


def test_a_terminal_is_restored_and_the_task_ended_by_a_signal(client):
    with Terminal(client.command("run", "-it", "--image", client.image, "--name", "job", "--", "sh")) as terminal:
        terminal.type(b"echo re''ady\n")
        terminal.expect(b"ready")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.wait() == 128 + signal.SIGTERM
    assert client.list()["job"]["status"] == "terminated"


def test_a_terminal_needs_one_here(client):
    ended = run(client, ["-it"], ["true"])
    assert ended.returncode == 125 and b"not a TTY" in ended.stderr
    assert client.list() == {}


def test_ports_and_read_only_folders(client, tmp_path, shim):
    (tmp_path / "index.html").write_text("hello")
    command = ["httpd", "-f", "-p", "80", "-h", "/www"]
    task = run(client, ["-d", "--name", "web", "-p", "80", "-v", f"{tmp_path}:/www:ro", "--entrypoint", ""], command)
    assert task.returncode == 0
    container = wait_until(lambda: containers_of(shim.home), "the container")[0]
    shown = json.loads(subprocess.run(["docker", "inspect", container], check=True, capture_output=True).stdout)[0]
    binding = shown["NetworkSettings"]["Ports"]["80/tcp"][0]
    assert binding["HostIp"] == "127.0.0.1"
    fetched = wait_until(
        lambda: subprocess.run(["curl", "-sf", f"http://127.0.0.1:{binding['HostPort']}/"], capture_output=True).stdout, "the page"
    )
    assert fetched == b"hello"
    assert client("exec", "web", "--", "touch", "/www/x").returncode == 1


def test_variables_come_from_files_flags_and_here(client, tmp_path):
    (tmp_path / "env").write_text("# comment\n\nA=from file\nB=from file\nHERE\n")
    ended = run(
        client,
        ["--rm", "--env-file", str(tmp_path / "env"), "-e", "B=from flag", "-e", "ABSENT", "--entrypoint", "sh"],
        ["-c", 'echo "$A, $B, $HERE, ${ABSENT-unset}"'],
        env={**os.environ, "HERE": "from here"},
    )
    assert ended.stdout == b"from file, from flag, from here, unset\n"
    (tmp_path / "env").write_text("a b=c\n")
    refused = run(client, ["--env-file", str(tmp_path / "env")], ["true"])
    assert refused.returncode == 125 and b"line 1" in refused.stderr


@pytest.mark.parametrize("options,command", [([], ["sh", "-c", "echo hello; exit 3"]), (["--entrypoint", "sh"], ["-c", "echo hello; exit 3"])])
def test_json_is_for_programs(client, options, command):
    ended = run(client, ["--json", "--name", "job", *options], command)
    assert ended.returncode == 3
    report = json.loads(ended.stdout)
    assert report == {
        "id": client.list()["job"]["id"],
        "name": "job",
        "exit_status": 3,
        "reason": "container_exited_with_error",
    }
    assert b"hello\n" in ended.stderr


def test_a_detached_program_s_output_is_in_the_logs(client):
    task = run(client, ["-d", "--name", "job", "--entrypoint", "sh"], ["-c", "printf 'a\\r\\nb\\0'; exit 0"]).stdout.decode().strip()
    client.wait_ended("job")
    assert client("logs", task).stdout == b"a\r\nb\0"


def test_a_user_without_access_to_the_engine_may_run_without_input(client):
    nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    ended = run(client, ["--rm", "--entrypoint", "echo"], ["hello"], **nobody)
    assert (ended.returncode, ended.stdout) == (0, b"hello\n")
    refused = run(client, ["-i"], ["cat"], **nobody)
    assert refused.returncode == 125 and b"docker.sock" in refused.stderr
    assert client.list() == {}


def test_a_container_that_is_never_started_ends(client):
    """A client that dies between the making and the start leaves nothing behind for long; it may also say so itself."""
    body = {"id": "later", "name": "later", "image_name": client.image, "local": True, "network_mode": "bridge"}
    import requests

    base = f"http://127.0.0.1:{client.port}/api/tasks"
    answer = requests.post(base, json={**body, "container": {"process": "image", "command": ["true"], "start": "later"}}, timeout=10)
    assert answer.status_code == 200
    wait_until(lambda: requests.get(f"{base}/later", timeout=10).json()["container_id"], "the container")
    assert requests.get(f"{base}/later", timeout=10).json()["status"] == "creating"
    ended = requests.post(f"{base}/later/terminate", json={"termination_reason": "terminated_by_user"}, timeout=10).json()
    assert ended["status"] == "terminated"
    assert requests.post(f"{base}/later/start", json={}, timeout=10).status_code == 409
