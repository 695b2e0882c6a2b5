"""The job under the runner: who it runs as, where, with what, and how it ends."""

import json
import subprocess

import pytest
from support.runner_container import HOST_PROGRAMS, RunnerContainer, docker, scratch_image


@pytest.fixture
def runner(image):
    with RunnerContainer(image) as container:
        yield container.wait_ready()


@pytest.fixture
def full_runner(image):
    """With this machine's programs in the container."""
    with RunnerContainer(image, options=HOST_PROGRAMS) as container:
        yield container.wait_ready()


def sh(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


def test_a_job_that_succeeds_is_done(runner):
    assert runner.start(sh("echo hello")) == {"working_dir": "/", "username": "root"}
    result = runner.result()
    assert result.names == ["running", "done"]
    assert result.end["exit_status"] == 0
    assert result.text == "hello\n"


def test_the_runner_leaves_with_0_when_the_logs_were_read(runner):
    assert runner.run(sh("exit 3")).end["exit_status"] == 3
    assert runner.wait() == 0


def test_an_exit_status_is_a_failure_with_a_reason(runner):
    end = runner.run(sh("exit 3")).end
    assert (end["state"], end["termination_reason"], end["exit_status"]) == ("failed", "container_exited_with_error", 3)


def test_a_signal_is_named(runner):
    end = runner.run(sh("kill -SEGV $$")).end
    assert (end["state"], end["termination_reason"], end["exit_status"]) == ("failed", "container_exited_with_error", -1)
    assert end["termination_message"] == "The job was killed by SIGSEGV"


@pytest.mark.release
def test_out_of_memory_is_named(image):
    with RunnerContainer(image, options=["--memory", "64m", "--memory-swap", "64m"]) as runner:
        runner.wait_ready()
        end = runner.run(["tail", "/dev/zero"]).end
    assert end["termination_message"] == "The job was killed by SIGKILL, out of memory"


@pytest.mark.parametrize(
    ("commands", "words"),
    [
        ([], ["no commands"]),
        (["no-such-command"], ["no-such-command", "not found", "PATH"]),
        ([""], ["not found"]),
        (["/no/such"], ["/no/such", "No such file or directory"]),
        (["/etc"], ["/etc", "Permission denied"]),
        (["/proc/self/maps"], ["/proc/self/maps", "Permission denied"]),
        (["sh", "a\0b"], ["commands[1]", "NUL"]),
        (["sh", "-c", "x" * 200_000], ["Argument list too long"]),
    ],
)
def test_a_command_that_cannot_be_started_is_named_with_the_reason(runner, commands, words):
    result = runner.run(commands)
    assert result.names == ["failed"]
    assert result.end.keys() == {"state", "timestamp", "termination_reason", "termination_message", "exit_status"}
    assert result.end["termination_reason"] == "executor_error"
    for word in words:
        assert word in result.end["termination_message"]
    assert runner.wait() == 0


@pytest.mark.parametrize("uid", [-1, 4294967295, 4294967296, 10**30])
def test_a_uid_out_of_range_is_accepted_and_fails_the_job(runner, uid):
    assert runner.submit(["true"], user={"uid": uid}).status_code == 200
    ran = runner.post("/api/run")
    assert (ran.status_code, ran.text) == (200, "")
    result = runner.result()
    assert result.names == ["failed"]
    assert result.end["termination_reason"] == "executor_error"
    assert "Failed to set job user" in result.end["termination_message"]


@pytest.mark.parametrize("user", [{"username": "ghost"}, {"username": "0"}, {"uid": 0, "groupname": "ghosts"}, {}])
def test_an_unknown_user_fails_the_job(runner, user):
    result = runner.run(["true"], user=user)
    assert result.names == ["failed"]
    assert result.end["termination_reason"] == "executor_error"


def test_a_uid_without_an_entry_is_called_by_its_number(runner):
    info = runner.start(sh("id -u; id -g; id -G; echo $HOME; tty >/dev/tty; echo to-tty >/dev/tty"), user={"uid": 4242})
    assert info["username"] == "4242"
    assert runner.result().text.splitlines() == ["4242", "0", "0", "/", "/dev/pts/0", "to-tty"]


def test_a_named_user_has_its_groups_and_home(image, tmp_path):
    (tmp_path / "passwd").write_text("root:x:0:0::/root:/bin/sh\r\nann:x:1000:1001::/home/ann:/bin/sh")
    (tmp_path / "group").write_text("video:x:44:ann\nrender:x:105:bob,ann")
    options = ["-v", f"{tmp_path}/passwd:/etc/passwd:ro", "-v", f"{tmp_path}/group:/etc/group:ro"]
    with RunnerContainer(image, options=options) as runner:
        runner.wait_ready()
        script = "id -u; id -g; id -G; echo $HOME; pwd; stat -c '%U %a' ."
        info = runner.start(sh(script), user={"username": "ann"}, working_dir="~/a/b")
        assert info == {"username": "ann", "working_dir": "/home/ann/a/b"}
        assert runner.result().text.splitlines() == ["1000", "1001", "1001 44 105", "/home/ann", "/home/ann/a/b", "ann 755"]


@pytest.mark.parametrize(
    ("home", "expected"), [("/home/none", "/home/none"), ("/nonexistent", "/"), ("", "/"), ("home", "/"), ("/etc/passwd", "/")]
)
def test_an_unusable_home_is_the_root_folder(image, tmp_path, home, expected):
    (tmp_path / "passwd").write_text(f"ann:x:1000:1001::{home}:\n")
    with RunnerContainer(image, options=["-v", f"{tmp_path}/passwd:/etc/passwd:ro"]) as runner:
        runner.wait_ready()
        assert runner.run(sh("echo $HOME"), user={"uid": 1000}).text == expected + "\n"


@pytest.mark.parametrize("folder", ["relative", "~other/x", "/etc/passwd", "/etc/passwd/below", "/proc/no", ""])
def test_a_working_folder_that_cannot_be_fails_the_job(runner, folder):
    result = runner.run(["true"], working_dir=folder)
    assert result.names == ["failed"]
    assert result.end["termination_reason"] == "executor_error"
    assert folder.split("/")[0] in result.end["termination_message"]


def test_a_working_folder_the_user_may_not_enter_fails_the_job(image, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o700)
    with RunnerContainer(image, options=["-v", f"{tmp_path}/closed:/closed"]) as runner:
        runner.wait_ready()
        end = runner.run(["true"], working_dir="/closed", user={"uid": 1234}).end
    assert end["termination_reason"] == "executor_error"
    assert "/closed" in end["termination_message"] and "Permission denied" in end["termination_message"]


def test_without_a_working_folder_it_is_the_container_s(image):
    with RunnerContainer(image, options=["-w", "/some/where"]) as runner:
        runner.wait_ready()
        assert runner.start(sh("pwd"))["working_dir"] == "/some/where"
        assert runner.result().text == "/some/where\n"


def test_a_job_sees_its_variables(image):
    with RunnerContainer(image, options=["-e", "FROM=container", "-e", "OVER=container", "-e", "HOME=/wrong"]) as runner:
        runner.wait_ready()
        runner.run(
            ["cat", "/proc/self/environ"],
            env={"OVER": "job", "a-b": "dash", "LINES_": "one\ntwo", "UNI": "ä", "BASH_FUNC_f%%": "() { :; }", "": "empty"},
            secrets={"SECRET": "s", "OVER": "secret"},
            job_num=1,
            jobs_per_replica=2,
            cluster_info={"job_ips": ["10.0.0.1", "10.0.0.2"], "master_job_ip": "10.0.0.1", "gpus_per_job": 2, "gpus_per_node": [2, 0]},
        )
        variables = runner.raw_output().decode().split("\0")
    for variable in [
        "FROM=container",
        "OVER=job",
        "SECRET=s",
        "a-b=dash",
        "UNI=ä",
        "LINES_=one\r\ntwo",  # the terminal's line end
        "HOME=/root",
        "DSTACK_RUN_ID=run-id",
        "DSTACK_JOB_ID=job-id",
        "DSTACK_RUN_NAME=run-name",
        "DSTACK_REPO_ID=repo-id",
        "DSTACK_REPO_DIR=/workflow",
        "DSTACK_WORKING_DIR=/",
        "DSTACK_MASTER_NODE_IP=10.0.0.1",
        "DSTACK_NODE_RANK=1",
        "DSTACK_NODES_NUM=2",
        "DSTACK_GPUS_PER_NODE=2",
        "DSTACK_GPUS_NUM=2",
        "DSTACK_NODES_IPS=10.0.0.1\r\n10.0.0.2",
        "DSTACK_MPI_HOSTFILE=/dstack/mpi/hostfile",
    ]:
        assert variable in variables
    assert "BASH_FUNC" not in "".join(variables)


def test_a_login_shell_sees_what_the_job_sees(full_runner):
    value = "it's\n\"$HOME\" `id` \\"
    full_runner.start(sh("echo ready; sleep 60"), env={"ODD": value, "no-name": "x"}, working_dir="/tmp/work")
    full_runner.wait_output("ready")
    shown = subprocess.run(
        ["docker", "exec", full_runner.name, "bash", "-lc", 'pwd; printf %s "$ODD"'], check=True, capture_output=True, text=True
    )
    assert shown.stdout == f"/tmp/work\n{value}"
    assert shown.stderr == ""
    assert b"\0ODD=" + value.encode() + b"\0" in b"\0" + full_runner.copy_out("/dstack/environment")


def test_the_hostfile_lists_the_nodes(runner):
    cluster = {"job_ips": ["10.0.0.1", "10.0.0.2"], "master_job_ip": "10.0.0.1", "gpus_per_job": 8, "gpus_per_node": [8, 0]}
    assert runner.run(sh("cat $DSTACK_MPI_HOSTFILE"), cluster_info=cluster).text == "10.0.0.1 slots=8\n10.0.0.2\n"


def test_nodes_can_reach_each_other_over_ssh(runner):
    cluster = {"job_ips": ["10.0.0.1", "10.0.0.2"], "master_job_ip": "10.0.0.1", "gpus_per_job": 0, "gpus_per_node": [0, 0]}
    result = runner.run(
        sh("cat ~/.ssh/dstack_job; stat -c %a ~/.ssh ~/.ssh/dstack_job; grep -c '^Host 10' ~/.ssh/config; cat /dstack/ssh/conf/authorized_keys"),
        cluster_info=cluster,
        ssh_key={"private": "PRIVATE\n", "public": "ssh-ed25519 PUBLIC"},
    )
    assert result.text.splitlines() == ["PRIVATE", "700", "600", "2", "ssh-ed25519 PUBLIC"]


def test_the_terminal_is_the_job_s_own(full_runner):
    script = "test -t 0 && test -t 1 && test -t 2 && stty size && id -u && stat -c %u $(tty) && echo TERM=$TERM"
    assert full_runner.run(sh(script), user={"uid": 1234}).text.splitlines() == ["24 80", "1234", "1234", "TERM="]


@pytest.mark.release
def test_a_static_program_runs_where_there_is_nothing_else(tmp_path):
    options = ["--read-only", "--tmpfs", "/tmp", "--tmpfs", "/dstack"]
    with RunnerContainer(scratch_image(tmp_path), options=options) as runner:
        runner.wait_ready()
        result = runner.run(["/dstack-runner", "--version"])
        assert result.names == ["running", "done"]
        assert result.text.startswith("dstack-runner version ")
        assert runner.wait() == 0


def test_a_job_of_a_mebibyte_is_run(runner):
    script = "echo ${#A0} ${#A9}"
    assert runner.run(sh(script), env={f"A{i}": "x" * 100_000 for i in range(10)}).text == "100000 100000\n"


def test_without_capabilities_the_job_runs_as_the_runner(image):
    with RunnerContainer(image, options=["--cap-drop", "SETUID", "--cap-drop", "SETGID", "--cap-drop", "CHOWN"]) as runner:
        runner.wait_ready()
        result = runner.run(sh("id -u"), user={"uid": 1234})
    assert result.text == "0\n"
    assert "capability" in result.runner_log


def test_memory_may_be_locked_where_the_container_may_allow_it(image):
    if not docker("run", "--rm", "--cap-add", "SYS_RESOURCE", image, "echo", "ok", check=False):
        pytest.skip("this machine has no CAP_SYS_RESOURCE to give")
    with RunnerContainer(image, options=["--cap-add", "SYS_RESOURCE"]) as runner:
        runner.wait_ready()
        assert runner.run(sh("ulimit -l"), user={"uid": 1234}).text == "unlimited\n"


def test_a_remote_repo_fails_honestly(runner):
    end = runner.run(["true"], repo_data={"repo_type": "remote"}).end
    assert end["termination_reason"] == "container_exited_with_error"
    assert end["termination_message"].startswith("Failed to set up the repo (")


def test_a_kernel_without_newer_system_calls_is_enough(image, tmp_path):
    profile = tmp_path / "seccomp.json"
    older = {"names": ["pidfd_open", "close_range"], "action": "SCMP_ACT_ERRNO"}
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [older]}))
    with RunnerContainer(image, options=["--security-opt", f"seccomp={profile}"]) as runner:
        runner.wait_ready()
        script = "for fd in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$fd ] && echo $fd; done; kill -TERM $$"
        result = runner.run(sh(script))
    assert result.text.split() == ["0", "1", "2"]
    assert result.end["termination_message"] == "The job was killed by SIGTERM"
