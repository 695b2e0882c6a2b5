"""How a job is brought to its end, and that nothing of it is left."""

import pytest
from support.processes import wait_until
from support.runner_container import HOST_PROGRAMS, RunnerContainer

SHELLS = {
    "bash": ["/bin/bash", "-i", "-c"],  # what servers send: with job control
    "dash": ["/usr/bin/dash", "-c"],
    "ash": ["/busybox", "ash", "-c"],
}

# Each says "ready" when it is, and has not ended by itself within the test.
JOBS = {
    "foreground": "echo ready; sleep 1000",
    "background": "sleep 1000 & echo ready; wait",
    "pipeline": "echo ready; sleep 1000 | cat | cat",
    "session": "setsid sleep 1000 & setsid sh -c 'echo ready; sleep 1000' & sleep 1000",
    "double fork": "(setsid sh -c 'sleep 1000 & echo ready' &) ; sleep 1000",
    "stopped": "(kill -STOP $(sh -c 'echo $PPID'); sleep 1000) & echo ready; sleep 1000",
    "children": "i=0; while [ $i -lt 1000 ]; do sleep 1000 & i=$((i+1)); done; echo ready; sleep 1000",
}

STUBBORN = "trap '' INT HUP; (trap '' INT HUP; sleep 1000) & echo ready; while :; do sleep 0.1; done"


@pytest.fixture
def runner(image, tmp_path):
    """With this machine's bash and dash, and the image's busybox beside them."""
    with RunnerContainer(image, options=HOST_PROGRAMS) as container:
        yield container.wait_ready()


def stop_and_check(runner) -> dict:
    """Stops the job; its end state. Checks that nothing is left. That the stages take 10 s is for the unit tests, which
    turn the clock."""
    assert runner.post("/api/stop").status_code == 200
    runner.wait_over(limit=60)
    assert runner.processes() == []
    return runner.result().end


def command(shell: str, script: str) -> list[str]:
    if shell == "ash":
        return ["/bin/busybox", "ash", "-c", script]
    return [*SHELLS[shell], script]


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("shell", SHELLS)
def test_a_stop_leaves_nothing(runner, shell, job):
    runner.start(command(shell, JOBS[job]))
    runner.wait_output("ready")
    end = stop_and_check(runner)
    assert (end["state"], end["termination_reason"], end["exit_status"]) == ("terminated", "", None)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_job_that_ignores_every_polite_word_is_killed(runner, shell):
    runner.start(command(shell, STUBBORN))
    runner.wait_output("ready")
    assert stop_and_check(runner)["state"] == "terminated"


@pytest.mark.parametrize("job", ["background", "session", "double fork", "stopped", "children"])
def test_an_ordinary_end_leaves_nothing(runner, job):
    # Without its last wait.
    script = JOBS[job].removesuffix("wait").removesuffix("sleep 1000").removesuffix("; ")
    runner.start(["/bin/bash", "-c", f"trap '' HUP\n{script}\nexit 7"])
    runner.wait_over()
    assert runner.processes() == []
    assert runner.result().end["exit_status"] == 7


def test_the_maximum_duration_ends_a_job(runner):
    result = runner.run(["/bin/sh", "-c", "echo ready; sleep 1000"], max_duration=1)
    assert result.names == ["running", "terminated"]
    assert result.end["termination_reason"] == "max_duration_exceeded"
    assert result.end["termination_message"] == "Max duration exceeded"
    assert result.end["exit_status"] is None


def test_the_log_quota_ends_a_job_at_once(runner):
    runner.start(["/bin/sh", "-c", "trap '' INT HUP TERM; yes"], log_quota_hour=10_000)
    runner.wait_over()
    assert runner.processes() == []
    result = runner.result()
    assert result.names == ["running", "failed"]
    assert result.end["termination_reason"] == "log_quota_exceeded"
    assert result.end["termination_message"] == "Job log output exceeded the hourly quota of 10000 bytes"
    assert len(result.text) <= 10_000


def test_the_last_words_of_a_stopped_job_are_in_its_logs(runner):
    # 50,000 lines between the interrupt and the end.
    script = "trap 'seq 50000; printf last; exit 0' INT; echo ready; while :; do sleep 0.05; done"
    runner.start(["/bin/sh", "-c", script])
    runner.wait_output("ready")
    runner.post("/api/stop")
    text = runner.result().text
    assert text.splitlines()[1:] == ["^C1", *map(str, range(2, 50001)), "last"]


def test_a_busy_writer_that_is_stopped_loses_nothing_it_wrote(runner):
    # It counts what it wrote in a file; the terminal must have got at least that.
    script = "i=0; while :; do i=$((i+1)); echo $i; echo $i > /tmp/written; done"
    runner.start(["/bin/sh", "-c", f"trap 'exit 0' INT; echo ready; {script}"])
    runner.wait_output("\n1000")
    runner.post("/api/stop")
    text = runner.result().text
    written = int(runner.copy_out("/tmp/written") or 0)
    numbers = [int(line) for line in text.replace("^C", "\n").split() if line.isdigit()]
    assert numbers[:written] == list(range(1, written + 1))


def test_orphans_are_reaped(runner):
    runner.start(["/bin/bash", "-c", "for i in $(seq 50); do (setsid true &) ; done; echo ready; sleep 1000"])
    runner.wait_output("ready")
    wait_until(lambda: not [line for line in runner.processes() if "defunct" in line], "the zombies' end")


def test_a_runner_that_is_not_process_1_kills_its_own_only(image):
    entrypoint = ["/bin/sh", "-c", 'sleep 1234 & /dstack-runner "$@"; echo left $?; wait', "sh"]
    with RunnerContainer(image, options=HOST_PROGRAMS, entrypoint=entrypoint) as runner:
        runner.wait_ready()
        runner.start(["/bin/sh", "-c", "trap '' HUP; setsid sleep 1000 & (setsid sleep 1001 &) ; echo ready; sleep 0.1"])
        result = runner.result()
        assert result.end["state"] == "done"
        wait_until(lambda: "left 0" in runner.output(), "the runner's end")
        assert [line for line in runner.processes() if "sleep" in line] == ["sleep 1234"]
