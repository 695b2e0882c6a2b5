"""wait, inspect, attach and the selections of logs, as docker has them."""

import json
import re

import subprocess
import time

import pytest
from support.person import TRAPPING, Client, Terminal


@pytest.fixture
def client(shim, image) -> Client:
    return Client(shim.port, image)


def plain(client: Client, name: str, script: str, *options) -> str:
    """Starts a program without a runner that goes on by itself; its task's id."""
    arguments = ["run", "--image", client.image, "--name", name, "-d", *options, "--entrypoint", "sh"]
    return client.text(*arguments, "--", "-c", script).strip()


def test_wait_prints_the_exit_status_of_each_task(client, tmp_path):
    client.detach("job", "until [ -e /data/over ]; do sleep 0.1; done; exit 3", "-v", f"{tmp_path}:/data")
    plain(client, "program", "exit 4")
    client.detach("killed", "kill -KILL $$")
    assert client("run", "--image", client.image, "--name", "attached", "--", "sh", "-c", "exit 5").returncode == 5
    client("run", "--image", client.image, "--name", "absent", "--", "no-such-command")
    waiting = subprocess.Popen(client.command("wait", "job", "program", "nothing", "killed", "attached", "absent"),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    time.sleep(0.5)
    assert waiting.poll() is None
    (tmp_path / "over").touch()
    output, complaints = waiting.communicate(timeout=60)
    assert output == b"3\n4\n137\n5\n127\n"
    # What `wait` prints is what `ps` selects by.
    for status, name in ((3, "job"), (4, "program"), (137, "killed"), (5, "attached"), (127, "absent")):
        assert client.text("ps", "--filter", f"exited={status}", "--format", "{{.Name}}") == f"{name}\n"
    assert waiting.returncode == 1 and b"nothing" in complaints


def test_inspect_tells_all_but_secrets(client):
    client.detach("job", "echo hello", "-e", "PASSWORD=marked-secret-1")
    plain(client, "program", "exit 4", "-e", "PASSWORD=marked-secret-2", "-v", "/tmp:/data:ro", "-p", "80")
    client.wait_ended("program")
    client.wait_ended("job")
    text = client.text("inspect", "job", "program")
    job, program = json.loads(text)
    assert (job["name"], job["status"], job["exit_code"]) == ("job", "terminated", 0)
    assert (program["exit_code"], program["process"], program["ended_in"]) == (4, "image", "running")
    assert program["config"]["container"]["mounts"] == [{"source": "/tmp", "target": "/data", "read_only": True}]
    assert program["config"]["container"]["ports"][0]["container"] == 80
    assert "marked-secret" not in text and "runner_token" not in text
    missing = client("inspect", "nothing", "job")
    assert missing.returncode == 1 and [task["name"] for task in json.loads(missing.stdout)] == ["job"]


def test_attach_follows_a_job_from_now_on_and_ends_with_its_status(client, tmp_path):
    client.detach("job", "echo before; until [ -e /data/go ]; do sleep 0.1; done; echo after; exit 3", "-v", f"{tmp_path}:/data")
    client.wait_for_output("job", b"before")
    attached = subprocess.Popen(client.command("attach", "job"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(1)
    (tmp_path / "go").touch()
    output, _ = attached.communicate(timeout=60)
    assert (attached.returncode, output) == (3, b"after\n")
    ended = client("attach", "job")
    assert ended.returncode == 1 and b"not running" in ended.stderr


def test_ctrl_c_of_attach_stops_the_job(client):
    client.detach("job", TRAPPING)
    client.wait_for_output("job", b"ready")
    with Terminal(client.command("attach", "job")) as terminal:
        time.sleep(1)
        terminal.type(b"\x03")
        terminal.expect(b"caught")
        terminal.wait()
    assert client.list()["job"]["status"] == "terminated"


def test_attach_comes_back_to_a_terminal(client):
    client.text("run", "-dit", "--image", client.image, "--name", "job", "--", "sh")
    with Terminal(client.command("attach", "job"), 30, 90) as terminal:
        terminal.type(b"until stty size | grep '^30 90'; do sleep 0.1; done\n")
        terminal.expect(b"\r\n30 90\r\n")
        terminal.type(b"\x10\x11")
        terminal.expect(b"detached")
        assert terminal.wait() == 0
    with Terminal(client.command("attach", "job")) as terminal:
        terminal.type(b"exit 6\n")
        assert terminal.wait() == 6


@pytest.mark.parametrize("start", [lambda client, name, script: client.detach(name, script), plain])
def test_logs_can_be_cut_and_timed(client, start):
    start(client, "job", "echo one; sleep 2; echo two; echo; printf three")
    client.wait_ended("job")
    whole = client("logs", "job").stdout
    assert whole == b"one\ntwo\n\nthree"
    for arguments, expected in (
        (["--tail", "2"], b"\nthree"),
        (["-n", "0"], b""),
        (["--tail", "all"], whole),
        (["--tail", "99"], whole),
        (["--since", "1h"], whole),
        (["--since", "2000-01-01"], whole),
        (["--since", str(int(time.time()) + 60)], b""),
    ):
        shown = client("logs", *arguments, "job")
        assert (shown.returncode, shown.stdout.rstrip(b"\n")) == (0, expected.rstrip(b"\n")), arguments
    lines = client("logs", "-t", "job").stdout.decode().splitlines()
    assert [line.partition(" ")[2] for line in lines] == ["one", "two", "", "three"]
    times = [line.split(" ")[0] for line in lines]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", moment) for moment in times)
    assert times == sorted(times)
    # From the second line's time on the first one is left out.
    assert client("logs", "--since", times[1], "job").stdout.startswith(b"two")
    for wrong in (["--tail", "some"], ["--since", "yesterday"]):
        refused = client("logs", *wrong, "job")
        assert refused.returncode == 125 and wrong[1] in refused.stderr.decode()


def test_the_last_lines_are_followed(client, tmp_path):
    client.detach("job", "echo one; echo two; until [ -e /data/go ]; do sleep 0.1; done; echo three", "-v", f"{tmp_path}:/data")
    client.wait_for_output("job", b"two")
    following = subprocess.Popen(client.command("logs", "-f", "-n", "1", "job"), stdout=subprocess.PIPE)
    assert following.stdout.readline() == b"two\n"
    (tmp_path / "go").touch()
    output, _ = following.communicate(timeout=60)
    assert output == b"three\n"
    assert following.returncode == 0


def test_a_bundle_has_what_a_bug_report_needs_and_no_secrets(home, image, tmp_path):
    import tarfile

    from support.processes import Shim
    from support.shim_calls import Calls

    secrets = {
        "DSTACK_RUNNER_DOWNLOAD_URL": "https://user:marked-1@example.invalid/runner?signature=marked-2",
        "HTTP_PROXY": "http://user:marked-3@127.0.0.1:9",
        "NO_PROXY": "127.0.0.1,localhost",
    }
    with Shim(home, environment=secrets) as shim:
        client = Client(shim.wait_ready().port, image)
        client.detach("job", "echo marked-4; exit 3", "-e", "PASSWORD=marked-5")
        plain(client, "program", "echo marked-6; exit 4", "-e", "TOKEN=marked-7")
        task = Calls(shim).submit(f"{image}-no-such-image", registry_username="u", registry_password="marked-8")
        Calls(shim).wait_for(task, "terminated")
        client.wait_ended("job")
        client.wait_ended("program")
        bundle = tmp_path / "bundle.tar"
        made = client("doctor", "--bundle", str(bundle))
        assert made.returncode in (0, 1) and str(bundle).encode() in made.stderr
    assert bundle.stat().st_mode & 0o777 == 0o600
    content = {}
    with tarfile.open(bundle) as archive:
        for member in archive:
            content[member.name.removeprefix("dstack-bundle/")] = archive.extractfile(member).read().decode()
    assert not [name for name, text in content.items() if "marked-" in text]
    assert json.loads(content["versions.json"])["engine"]["version"]
    assert {entry["name"] for entry in json.loads(content["tasks.json"])} >= {"job", "program"}
    assert json.loads(content["doctor.json"])["checks"] and "docker" in content["doctor.txt"].lower()
    assert json.loads(content["settings.json"])["home"] == str(home)
    assert task in content["shim.log"]
    assert "dstack_shim_tasks" in content["metrics.txt"]
    assert any(name.startswith("runners/job-") and "job is over" in text for name, text in content.items())
