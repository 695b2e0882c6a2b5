"""The runner's command line and its API in every state."""

import signal
import socket
import subprocess

import pytest
from dstack._internal.server.services.runner.client import RunnerClient
from support import jobs
from support.processes import RUNNER, wait_until
from support.runner_container import RunnerContainer, docker, submission


@pytest.fixture
def runner(image):
    with RunnerContainer(image) as container:
        yield container.wait_ready()


def statuses(runner) -> dict:
    """What the requests that depend on the state answer; an accepted one changes it, so the harmless come first."""
    return {
        "upload_code": runner.post("/api/upload_code", data=b"").status_code,
        "submit": runner.submit(["true"]).status_code,
        "run": runner.post("/api/run").status_code,
    }


def test_the_version_is_three_words():
    shown = subprocess.run([RUNNER, "--version"], capture_output=True, text=True, check=True).stdout
    assert shown.split()[:2] == ["dstack-runner", "version"] and len(shown.split()) == 3


def test_healthcheck(runner):
    answer = runner.get("/api/healthcheck")
    assert answer.json()["service"] == "dstack-runner"
    assert answer.headers["Content-Type"].startswith("application/json")


def test_before_a_job_there_is_nothing_to_run_or_to_add_to(runner):
    assert runner.post("/api/run").status_code == 409
    assert runner.post("/api/upload_code", data=b"").status_code == 409
    assert runner.post("/api/upload_archive", files={"archive": ("a", b"x")}).status_code == 409
    assert runner.pull()["has_more"] is True


def test_a_job_may_be_submitted_again_until_it_runs(runner):
    assert runner.submit(["sh", "-c", "echo first"]).status_code == 200
    assert runner.run(["sh", "-c", "echo second"]).text == "second\n"


def test_a_running_job_refuses_another(runner):
    runner.start(["sleep", "60"])
    assert statuses(runner) == {"upload_code": 409, "submit": 409, "run": 409}


def test_a_job_that_is_over_refuses_another(runner):
    runner.start(["true"])
    wait_until(lambda: "The job is over" in runner.output(), "the end")
    assert statuses(runner) == {"upload_code": 409, "submit": 409, "run": 409}
    assert runner.post("/api/stop").status_code == 200


@pytest.mark.parametrize("submitted", [False, True])
def test_a_stop_before_the_run_ends_it_at_once(runner, submitted):
    if submitted:
        runner.submit(["true"])
    answer = runner.post("/api/stop")
    assert (answer.status_code, answer.text) == (200, "")
    assert statuses(runner) == {"upload_code": 409, "submit": 409, "run": 409}
    page = runner.pull()
    assert [state["state"] for state in page["job_states"]] == ["terminated"]
    assert page["has_more"] is False
    assert runner.wait() == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{", 400), (b"[]", 400), (b"{} {}", 400), (b'{"job_spec": {"commands": "sh"}}', 400), (b"x" * (1 << 20) + b"x", 413)],
)
def test_a_bad_submission_is_refused(runner, body, status):
    assert runner.post("/api/submit", data=body).status_code == status
    assert runner.post("/api/run").status_code == 409


def test_a_wrong_type_is_named(runner):
    answer = runner.post("/api/submit", json={"job_spec": {"env": {"A": 1}}})
    assert answer.status_code == 400
    assert "job_spec.env.A" in answer.text


def test_unknown_paths_methods_and_types_have_their_statuses(runner):
    assert runner.get("/api/no-such").status_code == 404
    assert runner.get("/api/submit").status_code == 405
    assert runner.post("/api/pull").status_code == 405
    assert runner.post("/api/submit", data=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
    assert runner.get("/api/pull?timestamp=now").status_code == 400
    assert runner.get("/logs_ws").status_code == 400


def test_metrics_are_numbers(runner):
    metrics = runner.get("/api/metrics").json()
    assert metrics["timestamp_micro"] > 1_600_000_000_000_000
    assert 0 < metrics["memory_working_set_bytes"] <= metrics["memory_usage_bytes"]
    assert metrics["cpu_usage_micro"] > 0
    assert metrics["gpus"] == []


def test_metrics_without_a_cgroup_are_404(image):
    with RunnerContainer(image, options=["--tmpfs", "/sys/fs/cgroup"]) as runner:
        runner.wait_ready()
        assert runner.get("/api/metrics").status_code == 404


@pytest.mark.parametrize("taken", ["--http-port", "--ssh-port"])
def test_a_taken_port_is_told_at_once(image, taken):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        with RunnerContainer(image, taken, port) as runner:
            assert runner.wait() == 1
            assert port in runner.output()


def test_it_must_be_root(image):
    with RunnerContainer(image, options=["--user", "1234"]) as runner:
        assert runner.wait() == 1


def test_localhost_is_both_loopback_addresses(runner):
    with socket.create_connection(("127.0.0.1", runner.port)):
        pass
    if socket.has_ipv6:
        try:
            socket.create_connection(("::1", runner.port)).close()
        except OSError as error:
            pytest.skip(f"no ::1 here: {error}")


@pytest.mark.parametrize("name", ["TERM", "INT", "QUIT"])
def test_a_signal_stops_the_job_and_the_runner(runner, name):
    runner.start(["sh", "-c", "trap 'exit 0' INT; echo ready; while :; do sleep 0.1; done"])
    runner.wait_output("ready")
    runner.signal(name)
    # An engine that restarts must not look like a job that is done.
    assert runner.wait() == 128 + signal.Signals[f"SIG{name}"]


def test_a_signal_without_a_job_ends_the_runner(runner):
    runner.signal("TERM")
    assert runner.wait() == 128 + signal.SIGTERM


def test_the_folders_are_root_s_and_old_ssh_files_are_gone(image, tmp_path):
    (tmp_path / "ssh").mkdir()
    (tmp_path / "ssh/old").write_text("old")
    tmp_path.chmod(0o777)
    with RunnerContainer(image, "--ssh-authorized-key", 'command="a,b" KEY', options=["-v", f"{tmp_path}:/dstack"]) as runner:
        runner.wait_ready()
        shown = docker("exec", runner.name, "stat", "-c", "%u %g %a", "/dstack", "/dstack/ssh")
        assert shown.split("\n")[:2] == ["0 0 755", "0 0 755"]
        assert not (tmp_path / "ssh/old").exists()
        assert runner.copy_out("/dstack/ssh/conf/authorized_keys") == b'command="a,b" KEY\n'


def test_the_runner_s_log_is_on_disk_and_with_the_readers(runner):
    result = runner.run(["true"])
    assert "run-name" in result.runner_log


def test_a_notice_is_in_the_runner_log_also_one_that_came_before_the_job(runner):
    assert runner.post("/api/notice", json={"message": "GPU 1 is not well"}).status_code == 200
    runner.submit(["/bin/sh", "-c", "exit 0"])
    assert runner.post("/api/notice", json={"message": "GPU 2 \x1b[2J\nis not well"}).status_code == 200
    for bad in ({}, {"message": ""}, {"message": 1}, {"message": "x" * 4097}):
        assert runner.post("/api/notice", json=bad).status_code == 400
    runner.post("/api/run")
    log = runner.result().runner_log
    assert " warning GPU 1 is not well\n" in log
    assert " warning GPU 2 \\x1b[2J\\nis not well\n" in log


def test_a_stop_that_says_that_the_host_goes_down_is_in_the_end_of_the_job(runner):
    runner.start(["/bin/sh", "-c", "trap 'exit 0' INT; echo ready; while :; do sleep 0.1; done"])
    runner.wait_output("ready")
    reason = {"termination_reason": "interrupted_by_no_capacity", "termination_message": "The cloud wants it back"}
    # A stop is never refused for its body, and no other reason counts.
    assert runner.post("/api/stop", json=reason).json() == {"job": "running"}
    for body in (b"{", b'{"termination_reason": "gateway_error"}'):
        answer = runner.post("/api/stop", data=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.text) == (200, "")
    end = runner.result().end
    assert end["state"] == "terminated" and reason.items() <= end.items()
    assert runner.wait() == 143


def test_the_real_client_runs_a_job(runner):
    client = RunnerClient(port=runner.port)
    assert client.healthcheck().service == "dstack-runner"
    jobs.submit(client, ["sh", "-c", "echo hello from $DSTACK_RUN_NAME"])
    info = client.run_job()
    assert info.username == "root"
    timestamp, text, states = 0, b"", []

    def over():
        nonlocal timestamp, text
        page = client.pull(timestamp)
        timestamp = page.last_updated
        text += b"".join(event.message for event in page.job_logs)
        states.extend(state.state.value for state in page.job_states)
        return not page.has_more

    wait_until(over, "the end")
    assert text == b"hello from test-run\n"
    assert states == ["running", "done"]


def test_an_older_server_s_submission_is_understood(runner):
    body = submission(["sh", "-c", "echo $DSTACK_GPUS_NUM"])
    del body["job_spec"]["repo_data"], body["log_quota_hour"], body["secrets"]
    body["cluster_info"] = {"job_ips": ["10.0.0.1", "10.0.0.2"], "master_job_ip": "10.0.0.1", "gpus_per_job": 4}
    body["job_spec"]["jobs_per_replica"] = 2
    assert runner.post("/api/submit", json=body).status_code == 200
    runner.post("/api/run")
    assert runner.result().text == "8\n"
