"""What a person at the host does with a running shim: ps, logs, stop, rm."""

import json
import random
import signal
import subprocess

import pytest
from conftest import containers_of
from support.person import TRAPPING, Client, on_terminal
from support.processes import Shim, free_port, wait_until
from support.shim_calls import Calls

@pytest.fixture
def client(shim, image) -> Client:
    return Client(shim.port, image)


@pytest.fixture
def calls(shim) -> Calls:
    return Calls(shim)


def requests_answered(calls: Calls) -> dict[str, float]:
    lines = calls.get("/metrics").text.splitlines()
    counters = [line.rsplit(" ", 1) for line in lines if line.startswith("dstack_shim_http_requests_total")]
    return {name: float(value) for name, value in counters if "/metrics" not in name}


def test_ps_asks_for_the_tasks_and_the_settings_once_however_many_tasks_there_are(client, calls):
    for number in range(3):
        calls.wait_for(calls.submit(f"{client.image}-no-such-image", name=f"n{number}"), "terminated")
    before = requests_answered(calls)
    assert len(client.text("ps").splitlines()) == 4
    after = requests_answered(calls)
    assert sum(after.values()) - sum(before.values()) == 2


def test_ps_lists_tasks_in_every_state(client, calls):
    running = client.detach("runs", TRAPPING)
    ended = client.detach("ended", "true")
    missing = calls.submit(f"{client.image}-no-such-image", name="server-0-0")
    calls.wait_for(missing, "terminated")
    client.wait_ended("ended")

    tasks = client.list()
    assert set(tasks) == {"runs", "ended", "server-0-0"}
    assert {task["id"] for task in tasks.values()} == {running, ended, missing}
    assert (tasks["runs"]["status"], tasks["runs"]["local"]) == ("running", True)
    assert tasks["ended"]["termination_reason"] == "done_by_runner"
    assert (tasks["server-0-0"]["local"], tasks["server-0-0"]["termination_reason"]) == (False, "creating_container_error")
    assert all(task["image"].startswith(client.image) and task["gpus"] == [] for task in tasks.values())
    assert all(task["age_seconds"] >= 0 and task["submitted_at"].endswith("Z") for task in tasks.values())

    lines = client.text("ps").splitlines()
    headings = ["ID", "NAME", "IMAGE", "STATUS", "AGE", "GPUS"]
    assert lines[0].split() == headings
    starts = [lines[0].index(heading) for heading in headings]
    # The latest first.
    rows = [[line[start:].split()[0] for start in starts] for line in lines[1:]]
    assert [row[1] for row in rows] == ["server-0-0", "ended", "runs"]
    assert rows[2][0] == running and rows[2][3] == "running" and rows[2][5] == "0"

    code, shown = on_terminal(client.command("ps"), columns=52)
    assert code == 0
    assert all(len(line) <= 52 for line in shown.splitlines())
    assert running[:8] in shown and running not in shown


def test_ps_shows_what_is_asked_for(client):
    running = client.detach("runs", TRAPPING)
    ended = client.detach("ended", "true")
    client.wait_ended("ended")
    assert client.text("ps", "-q").split() == client.text("ps", "-aq").split() == [ended, running]
    assert client.text("ps", "-q", "--filter", "status=running").split() == [running]
    assert client.text("ps", "-aq", "-f", "status=exited", "-f", f"id={ended[:6]}").split() == [ended]
    assert client.text("ps", "-q", "-f", "name=runs", "-f", "name=ended").split() == [ended, running]
    assert client.text("ps", "--format", "{{.Name}}: {{.State}} {{.Reason}}") == "ended: terminated done_by_runner\nruns: running \n"
    heading, *rows = client.text("ps", "--format", "table {{.ID}}\\t{{.Image}}").splitlines()
    assert heading.split() == ["ID", "IMAGE"] and rows[0].split() == [ended, client.image]
    objects = [json.loads(line) for line in client.text("ps", "--format", "json").splitlines()]
    assert [entry["id"] for entry in objects] == [ended, running]
    for wrong in (["--filter", "colour=red"], ["--format", "{{.Nothing}}"]):
        refused = client("ps", *wrong)
        assert refused.returncode == 1 and wrong[1].strip("{}.") in refused.stderr.decode()


def test_a_server_is_told_no_more_than_before(client, calls):
    client.detach("local", "true")
    task = calls.run(client.image, network_mode="bridge")["id"]
    assert calls.get("/api/tasks").json()["tasks"] == [{"id": task, "status": "running"}]
    assert all(set(entry) == {"id", "status"} for entry in calls.get("/api/tasks?local=1").json()["tasks"])
    assert not {"name", "submitted_at", "local"} & set(calls.info(task))


def test_logs_are_what_the_job_wrote_byte_for_byte_while_it_runs_and_afterwards(client, tmp_path):
    written = bytes(range(256)) * 8 + b"\r\n\n\r\r\n" + random.Random(1).randbytes(3 << 20)
    (tmp_path / "written").write_bytes(written)
    client.detach("job", "cat /data/written; until [ -e /data/over ]; do sleep 0.1; done", "--volume", f"{tmp_path}:/data")
    wait_until(lambda: client("logs", "job").stdout == written, "the whole output of a running job")
    assert client.list()["job"]["status"] == "running"
    (tmp_path / "over").touch()
    client.wait_ended("job")
    ended = client("logs", "job")
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout == written


def test_logs_follow_a_job_to_its_end_also_over_a_restart_of_the_shim(home, image, tmp_path):
    with Shim(home) as shim:
        client = Client(shim.wait_ready().port, image)
        client.detach("job", "echo one; until [ -e /data/go ]; do sleep 0.1; done; echo two", "--volume", f"{tmp_path}:/data")
        following = subprocess.Popen(client.command("logs", "-f", "job"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert following.stdout.readline() == b"one\n"
        assert shim.stop() == 0
    with Shim(home, port=client.port) as shim:
        shim.wait_ready()
        (tmp_path / "go").touch()
        output, complaints = following.communicate(timeout=60)
        assert (following.returncode, output, complaints) == (0, b"two\n", b"")


def test_an_interrupted_follower_leaves_the_job_alone(client):
    client.detach("job", TRAPPING)
    following = subprocess.Popen(client.command("logs", "--follow", "job"), stdout=subprocess.PIPE)
    assert following.stdout.readline() == b"ready\n"
    following.send_signal(signal.SIGINT)
    following.communicate(timeout=60)
    assert client.list()["job"]["status"] == "running"
    assert b"caught" not in client("logs", "job").stdout


def test_a_reader_that_has_enough_is_no_failure(client, tmp_path):
    client.detach("job", "head -c 1000000 /dev/zero; until [ -e /data/over ]; do sleep 0.1; done", "--volume", f"{tmp_path}:/data")
    wait_until(lambda: len(client("logs", "job").stdout) == 1000000, "the whole output")
    for arguments in (["logs", "job"], ["logs", "-f", "job"]):
        reader = subprocess.Popen(client.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert reader.stdout.read(10) == bytes(10)
        reader.stdout.close()
        assert reader.stderr.read() == b""
        assert reader.wait(60) == 0
    with open("/dev/full", "wb") as full:
        failed = subprocess.run(client.command("logs", "job"), stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert failed.returncode == 1 and b"No space left" in failed.stderr


def test_a_task_whose_job_never_began_says_why_there_are_no_logs(client, calls):
    task = calls.submit(f"{client.image}-no-such-image", name="failed")
    calls.wait_for(task, "terminated")
    for arguments in (["logs", "failed"], ["logs", "-f", "failed"]):
        ended = client(*arguments)
        assert (ended.returncode, ended.stdout) == (1, b"")
        assert b"creating_container_error" in ended.stderr


def test_stop_interrupts_the_job_and_ends_the_task(client):
    client.detach("job", TRAPPING)
    client.wait_for_output("job", b"ready")
    stopped = client("stop", "job")
    assert (stopped.returncode, stopped.stdout) == (0, b"job\n")
    assert b"15 s" in stopped.stderr
    assert client.list()["job"]["status"] == "terminated"
    assert b"caught" in client("logs", "job").stdout
    # One that has ended stays as it is.
    assert client.text("stop", "job") == "job\n"


def test_several_are_stopped_together_also_one_that_goes_away_by_itself(client):
    for name, options in (("one", []), ("two", ["--rm"])):
        client.detach(name, TRAPPING, *options)
        client.wait_for_output(name, b"ready")
    stopped = client("stop", "one", "no-such-task", "two")
    assert stopped.returncode == 1
    assert stopped.stdout == b"one\ntwo\n"
    assert b"no-such-task" in stopped.stderr
    wait_until(lambda: list(client.list()) == ["one"], "the removal of the other")
    assert client.list()["one"]["status"] == "terminated"


def test_stop_kills_a_job_that_does_not_end_in_time(client):
    client.detach("job", "trap '' INT HUP; echo ready; while :; do sleep 0.1; done")
    client.wait_for_output("job", b"ready")
    stopped = client("stop", "--timeout", "1", "job")
    assert stopped.returncode == 0 and b" 1 s" in stopped.stderr
    task = client.list()["job"]
    assert (task["status"], task["termination_reason"]) == ("terminated", "terminated_by_user")


def test_a_task_of_a_server_is_stopped_and_removed_with_a_note(client, calls):
    task = calls.run(client.image, name="server-0-0", network_mode="bridge")["id"]
    stopped = client("stop", "-t", "0", "server-0-0")
    assert stopped.returncode == 0 and b"dstack server" in stopped.stderr
    assert calls.info(task)["termination_reason"] == "terminated_by_user"
    removed = client("rm", "server-0-0")
    assert removed.returncode == 0 and b"dstack server" in removed.stderr
    assert calls.get(f"/api/tasks/{task}").status_code == 404


def test_rm_refuses_what_runs_unless_forced(client, shim):
    running = client.detach("runs", TRAPPING)
    client.detach("ended", "true")
    client.wait_ended("ended")
    removed = client("rm", "ended", "no-such-task", "runs")
    assert removed.returncode == 1
    assert removed.stdout == b"ended\n"
    complaints = removed.stderr.decode().splitlines()
    assert len(complaints) == 2
    assert "no-such-task" in complaints[0]
    assert f"dstack-shim stop {running[:8]}" in complaints[1] and "--force" in complaints[1]
    assert set(client.list()) == {"runs"}
    assert client.text("rm", "--force", running[:6]) == f"{running[:6]}\n"
    assert client.list() == {}
    assert containers_of(shim.home) == []


def test_a_task_goes_by_its_id_a_beginning_of_it_or_its_name(client, calls):
    for task, name in (("aaaa1111", "one"), ("aaaa2222", "two"), ("bbbb3333", "one")):
        calls.submit(f"{client.image}-no-such-image", id=task, name=name)
        calls.wait_for(task, "terminated")
    for ambiguous in ("aaaa", "one"):
        refused = client("rm", ambiguous)
        assert refused.returncode == 1
        listed = ["aaaa1111", "aaaa2222"] if ambiguous == "aaaa" else ["aaaa1111", "bbbb3333"]
        assert all(task in refused.stderr.decode() for task in listed)
    assert client("logs", "nothing").returncode == 1
    assert client.text("rm", "bb", "two", "aaaa1111").splitlines() == ["bb", "two", "aaaa1111"]
    assert client.list() == {}


@pytest.mark.parametrize("arguments", [["ps"], ["logs", "x"], ["stop", "x"], ["rm", "x"], ["run", "--", "true"]])
def test_without_a_shim_one_line_says_what_to_do(arguments):
    port = free_port()
    ended = Client(port)(*arguments)
    assert (ended.returncode, ended.stdout) == (125 if arguments[0] == "run" else 1, b"")
    lines = ended.stderr.decode().splitlines()
    assert len(lines) == 1
    assert str(port) in lines[0] and "--shim-http-port" in lines[0]


def test_a_drained_host_refuses_new_tasks_until_it_is_undrained(home, image):
    with Shim(home) as shim:
        shim.wait_ready()
        client = Client(shim.port, image)
        client.detach("before", "sleep 300")
        said = client("drain", "--reason", "new disk")
        assert (said.returncode, said.stdout, said.stderr) == (0, b"", b"drained; 1 task is still running (dstack-shim ps)\n")
    # Through a restart; the task that was there goes on.
    with Shim(home) as shim:
        shim.wait_ready()
        client = Client(shim.port, image)
        refused = client("run", "--image", image, "--", "true")
        assert refused.returncode == 125
        assert b'this host is drained and takes no new tasks: "new disk"' in refused.stderr
        listed = client("ps", "--json")
        assert b"note: this host is drained and takes no new tasks: new disk" in listed.stderr
        assert [task["status"] for task in json.loads(listed.stdout)] == ["running"]
        assert client("undrain").returncode == 0
        assert client("run", "--image", image, "--rm", "--", "true").returncode == 0
        client("rm", "--force", "before")
