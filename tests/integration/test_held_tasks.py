"""Held tasks: programs that are started in a container through its runner's API."""

import time

import pytest
import requests
from support.held import Held
from support.processes import wait_until
from support.shim_calls import Calls


@pytest.fixture
def held(shim, image) -> Held:
    calls = Calls(shim)
    task = calls.submit(image, local=True, network_mode="bridge", container={"process": "hold", "env": {"A": "outer", "B": "b"}})
    calls.wait_for(task, "running")
    runner = Held(calls.get(f"/api/tasks/{task}?details=1").json())
    runner.task, runner.calls = task, calls

    wait_until(runner.answers, "the runner's health check")
    yield runner
    calls.terminate(task)
    calls.remove(task)


def test_a_program_runs_with_its_output_apart_and_its_exit_status(held):
    done = held.sh("echo out; echo err >&2; exit 3")
    assert (done.output, done.errors) == (b"out\n", b"err\n")
    assert done.end == {"exit_status": 3, "signal": None, "oom": False}
    assert held.sh("kill -9 $$").end == {"exit_status": None, "signal": "SIGKILL", "oom": False}
    assert held.sh("kill -35 $$").end == {"exit_status": None, "signal": "SIGRTMIN+1", "oom": False}


def test_input_environment_folder_and_user_are_as_asked(held):
    assert held.run("cat", input=b"\x00hello").output == b"\x00hello"
    assert held.run("cat").output == b""
    done = held.sh('echo "$A $B $C $HOME"; pwd; id -u; id -g', env={"A": "a", "C": "c d"}, working_dir="/etc", user="1234:99")
    assert done.text.splitlines() == ["a b c d /", "/etc", "1234", "99"]
    assert held.sh("grep -E 'Cap(Inh|Prm|Eff|Amb)' /proc/self/status", user="1234").text.split()[1::2] == ["0" * 16] * 4
    assert held.sh("ls /proc/self/fd | wc -l; readlink /proc/self/fd/0").text.split() == ["4", "/dev/null"]


def test_what_cannot_be_run_says_so(held):
    assert (answer := held.try_to("absent")).status_code == 404 and answer.text == "absent: not found\n"
    assert (answer := held.try_to("/etc/passwd")).status_code == 404 and "/etc/passwd: not executable" in answer.text
    for wrong in ({"user": "stranger"}, {"working_dir": "/absent"}, {"input": "?"}, {"id": "a/b"}, {"env": {"A": 1}}):
        assert held.try_to("true", **wrong).status_code == 400, wrong
    assert held.post("/api/exec", json={"id": "x", "argv": []}).status_code == 400
    assert held.post("/api/exec", data=b"x" * (17 << 20)).status_code == 413


def test_only_who_knows_the_token_may_call(held):
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": held.headers["Authorization"][7:]}):
        assert held.post("/api/exec", headers=headers, json={"id": "x", "argv": ["true"]}).status_code == 401
        assert requests.get(held.url + "/api/metrics", headers=headers, timeout=9).status_code == 401
    assert requests.get(held.url + "/api/healthcheck", timeout=9).status_code == 200
    assert not held.sh("cat /tmp/runner/token").output
    for path in ("/api/submit", "/api/run", "/api/upload_code", "/api/upload_archive"):
        assert held.post(path, json={}).status_code == 409
    for path in ("/api/pull", "/logs_ws"):
        assert requests.get(held.url + path, headers=held.headers, timeout=9).status_code == 409


def test_an_id_is_taken_while_its_program_runs_and_free_with_its_end(held):
    running = held.begin("sleep", "100", id="one")
    assert held.try_to("true", id="one").status_code == 409
    assert held.stop("one", signal="SIGNONE").status_code == 400
    assert held.stop("one", signal="SIGINT", grace=-1).status_code == 400
    assert held.stop("two").status_code == 404
    assert held.stop("one", signal="SIGUSR1", grace=30).status_code == 200
    assert running.finish().end["signal"] == "SIGUSR1"
    for _ in range(20):
        held.run("true", id="one")


def test_a_stop_reaches_all_that_came_of_a_program_in_other_sessions_too(held):
    script = "setsid sleep 1111 & (setsid sh -c 'trap \"\" TERM INT; echo ready; while :; do sleep 1112; done' &); wait"
    running = held.begin("/bin/sh", "-c", script, id="all")
    assert running.frame() == (1, b"ready\n")
    assert held.stop("all", signal="SIGTERM", grace=0.5).status_code == 200
    running.finish()
    assert not [line for line in held.sh("ps").text.splitlines() if "111" in line]


def test_a_caller_that_goes_away_stops_its_program(held):
    running = held.begin("/bin/sh", "-c", "trap 'touch /tmp/told; exit' TERM; echo up; while :; do sleep 0.1; done")
    assert running.frame() == (1, b"up\n")
    running.close()
    wait_until(lambda: held.sh("ls /tmp/told").end["exit_status"] == 0, "the program's SIGTERM")


def test_what_a_program_leaves_behind_lives_on_and_may_write(held):
    script = "(sleep 0.3; while :; do echo more; sleep 0.05; done) & echo $!"
    done = held.sh(script)
    assert done.end["exit_status"] == 0
    pid = done.text.strip()
    time.sleep(1)
    assert held.sh(f"kill -0 {pid}").end["exit_status"] == 0


def test_a_slow_reader_slows_the_program(held):
    script = "i=0; while [ $i -lt 400 ]; do head -c 100000 /dev/zero; i=$((i+1)); echo $i >/tmp/next; mv /tmp/next /tmp/count; done"
    running = held.begin("/bin/sh", "-c", script)
    count = -1
    # What is on its way fills up, and the program stands still.
    while count != (count := int(held.sh("cat /tmp/count 2>/dev/null || echo 0").text)):
        time.sleep(1)
    assert count < 400
    done = running.finish()
    assert len(done.output) == 40_000_000
    assert done.end["exit_status"] == 0


def test_owners_are_changed_below_a_path_and_no_link_is_followed(held):
    held.sh("mkdir -p /tmp/t/a/b; touch /tmp/t/a/f /tmp/outside; ln -s /tmp/outside /tmp/t/link; ln -s / /tmp/t/root")
    done = held.run("/usr/local/bin/dstack-runner", "chown", "1234:99", "/tmp/t")
    assert done.end["exit_status"] == 0, done.errors
    owners = held.sh("stat -c '%u:%g %n' /tmp/t /tmp/t/a /tmp/t/a/b /tmp/t/a/f /tmp/t/link; stat -c %u /tmp/outside /etc").text
    assert owners.splitlines() == [
        "1234:99 /tmp/t", "1234:99 /tmp/t/a", "1234:99 /tmp/t/a/b", "1234:99 /tmp/t/a/f", "1234:99 /tmp/t/link", "0", "0",
    ]
    assert held.run("/usr/local/bin/dstack-runner", "chown", "x", "/tmp/t").end["exit_status"] != 0


def test_a_held_task_ends_well_by_its_own_stop_and_by_the_engines(held, image):
    running = held.begin("/bin/sh", "-c", "trap '' TERM; echo up; sleep 1000")
    assert running.frame() == (1, b"up\n")
    held.calls.terminate(held.task, timeout=20)
    info = held.calls.get(f"/api/tasks/{held.task}?details=1").json()
    assert info["exit_code"] == 0
    other = held.calls.run(image, local=True, network_mode="bridge", container={"process": "hold"})["id"]
    runner = Held(held.calls.get(f"/api/tasks/{other}?details=1").json())
    wait_until(lambda: runner.post("/api/stop").ok, "the stop")
    assert held.calls.wait_for(other, "terminated")["termination_reason"] == "done_by_runner"
    held.calls.remove(other)
