"""Logging in to the runner's SSH server with the real client: who may, and what a session is."""

import signal
import socket
import subprocess

import pytest
from support.processes import wait_until
from support.runner_container import HOST_PROGRAMS, docker
from support.security_key_agent import SecurityKeyAgent
from support.ssh_client import make_key, public
from support.ssh_servers import SshRunner

AWKWARD = {
    "PLAIN": "1",
    "EMPTY": "",
    "QUOTES": "it's \"quoted\" $HOME `id` \\ * ~",
    "TEXT": "one\n\ntwo\n",
    "UNICODE": "größe",
    "PATH": "/opt/job/bin:/usr/local/bin:/usr/bin:/bin",
}

PASSWD = """root:x:0:0:root:/root:/bin/sh
bash:x:1001:1001::/home/bash:/bin/bash
dash:x:1002:1002::/home/dash:/bin/dash
locked:!:1003:1003::/home/locked:/bin/sh
open::1004:1004::/home/open:/bin/sh
system:*:1005:1005::/nonexistent:/usr/sbin/nologin
shellless:x:1006:1006::/tmp:/bin/no-such-shell
nowhere:x:1007:1007::/home/no-such-home:/bin/sh
relative:x:1008:1008::home:/bin/sh
dark:x:1009:1009::/home/dark:/bin/sh
"""
GROUP = "root:x:0:\nvideo:x:44:bash,locked\nbash:x:1001:\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ssh")


@pytest.fixture(scope="module")
def small(folder, image):
    """Busybox, with a job that runs."""
    with SshRunner(folder, image) as runner:
        runner.start("env -0 >/tmp/job; pwd >/tmp/where; exec sleep 1000000", env=AWKWARD, working_dir="/work dir")
        wait_until(lambda: runner.file("/tmp/where"), "the job")
        yield runner


@pytest.fixture(scope="module")
def full(folder, image):
    """With this machine's programs, and users of all kinds."""
    (folder / "passwd").write_text(PASSWD)
    (folder / "group").write_text(GROUP)
    files = ["-v", f"{folder}/passwd:/etc/passwd:ro", "-v", f"{folder}/group:/etc/group:ro"]
    with SshRunner(folder, image, options=[*HOST_PROGRAMS, *files]) as runner:
        script = "env -0 >/tmp/job; mkdir -p /home/dark && chmod 0 /home/dark; pwd >/tmp/where; exec sleep 1000000"
        runner.start(script, env=AWKWARD, working_dir="/work dir")
        wait_until(lambda: runner.file("/tmp/where"), "the job")
        yield runner


def variables(text: str) -> dict[str, str]:
    return dict(entry.split("=", 1) for entry in text.split("\0") if entry)


# What a login has of its own.
OWN = {"HOSTNAME", "USER", "HOME", "SHELL", "SHLVL", "PWD", "_", "OLDPWD", "TERM", "LOGNAME", "MAIL", "TZ"}


def of_job(found: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in found.items() if name not in OWN and not name.startswith("SSH_")}


def test_it_answers_before_the_api_does(folder, image):
    with SshRunner(folder, image) as runner, socket.create_connection(("127.0.0.1", runner.ssh.port), timeout=20) as server:
        assert server.recv(100).startswith(b"SSH-2.0-OpenSSH")


def test_a_command_has_its_streams_and_its_exit_code(small):
    done = small.ssh.run("cat; echo err >&2; exit 7", input="typed")
    assert (done.returncode, done.stdout, done.stderr) == (7, "typed", "err\n")


def test_a_killed_command_is_told_from_one_that_failed(small):
    assert small.ssh.run("kill -9 $$").returncode == 255


def test_a_terminal_is_one(small):
    done = small.ssh.run("tty; stty size; echo $TERM", "-tt")
    assert done.stdout.splitlines()[0].startswith("/dev/pts/")
    assert done.stdout.splitlines()[-1] == "vt220"


@pytest.mark.parametrize(("where", "user"), [("small", "root"), ("full", "root"), ("full", "bash"), ("full", "dash")])
def test_a_login_sees_what_the_job_sees(request, where, user):
    runner = request.getfixturevalue(where)
    done = runner.ssh.as_user(user).login(f"env -0 >/tmp/login-{user}; pwd >/tmp/where-{user}; exit 5\n")
    assert done.returncode == 5
    seen = of_job(variables(runner.file(f"/tmp/login-{user}")))
    job = of_job(variables(runner.file("/tmp/job")))
    assert job.items() >= AWKWARD.items()
    assert job["DSTACK_RUN_NAME"] == "run-name"
    assert {name: seen.get(name) for name in job} == job
    assert runner.file(f"/tmp/where-{user}") == "/work dir\n"


@pytest.mark.parametrize(("where", "user"), [("small", "root"), ("full", "root"), ("full", "bash"), ("full", "dash")])
def test_a_command_sees_what_the_job_sees_and_stays_in_the_home(request, where, user):
    runner = request.getfixturevalue(where)
    ssh = runner.ssh.as_user(user)
    seen = variables(ssh.text("env -0"))
    job = of_job(variables(runner.file("/tmp/job")))
    assert {name: seen.get(name) for name in job} == job
    assert (seen["USER"], seen["LOGNAME"]) == (user, user)
    assert seen["SSH_CONNECTION"].endswith(f" {ssh.port}")
    assert ssh.text("pwd") != "/work dir\n"


def test_a_shell_that_reads_no_profile_sees_it_too(small):
    script = "exec </dev/tty >/tmp/plain 2>&1; env -0; exit\n"
    assert small.ssh.run("exec /bin/sh", "-tt", input=script).returncode == 0
    assert variables(small.file("/tmp/plain"))["QUOTES"] == AWKWARD["QUOTES"]


def test_what_the_job_adds_to_the_profile_is_seen_at_the_next_login(small):
    small.ssh.text("echo 'export ADDED=later' >>/dstack/profile")
    assert small.ssh.login("exit $([ $ADDED = later ] && echo 9)\n").returncode == 9


def test_the_clients_language_is_taken_and_nothing_else(small):
    done = small.ssh.run("echo $LC_TEST-$COLORTERM-$OTHER", "-o", "SendEnv=LC_* COLORTERM OTHER", LC_TEST="x", COLORTERM="y", OTHER="z")
    assert done.stdout == "x-y-\n"


def test_what_people_started_over_ssh_outlives_the_job(folder, image):
    with SshRunner(folder, image) as runner:

        def sleeping():
            return sum("sleep 100" in line for line in runner.container.processes())

        with runner.ssh.start("127.0.0.1", "(sleep 1001 &); exec sleep 1002", stdin=subprocess.PIPE) as session:
            wait_until(lambda: sleeping() == 2, "the session's programs")
            runner.start("sleep 1003 & echo done")
            runner.container.wait_over()
            assert sleeping() == 2
            assert runner.ssh.text("echo in") == "in\n"
            session.kill()


def test_a_killed_server_is_started_again(folder, image):
    with SshRunner(folder, image) as runner:
        runner.start("kill -9 $(pidof sshd); exec sleep 1000000")
        wait_until(lambda: "was killed by signal 9" in runner.container.output(), "the server's end")
        wait_until(lambda: runner.ssh.run("true").returncode == 0, "the server's return")


def test_a_server_that_cannot_start_is_told_in_the_jobs_logs(folder, image):
    # A folder in which nothing can be executed.
    with SshRunner(folder, image, options=["--tmpfs", "/dstack:noexec"]) as runner:
        result = runner.container.run(["echo", "ran"])
        assert (result.text, result.names) == ("ran\n", ["running", "done"])
        assert "The SSH server cannot be started" in result.runner_log


def test_a_log_level_that_does_not_exist_is_no_reason_to_stay_out(folder, image):
    with SshRunner(folder, image, "--ssh-log-level", "CHATTY") as runner:
        assert runner.ssh.text("echo in") == "in\n"


def test_a_wrong_key_and_a_password_are_refused(small, folder, tmp_path):
    wrong = small.ssh.with_key(make_key(tmp_path / "wrong")).run("true")
    assert (wrong.returncode, "Permission denied (publickey)" in wrong.stderr) == (255, True)
    password = small.ssh.having(BatchMode="no", PubkeyAuthentication="no", PreferredAuthentications="password,keyboard-interactive")
    done = password.run("true")
    assert (done.returncode, "Permission denied (publickey)" in done.stderr) == (255, True)


def test_ten_wrong_keys_come_before_the_right_one(small, tmp_path):
    identities = []
    for number in range(10):
        identities += ["-i", str(make_key(tmp_path / f"wrong-{number}"))]
    wrong_first = small.ssh.with_key(tmp_path / "wrong-0")
    assert wrong_first.text("echo in", *identities, "-i", str(small.key)) == "in\n"


def test_many_wrong_logins_do_not_lock_out_the_right_one(small, tmp_path):
    wrong = small.ssh.with_key(make_key(tmp_path / "wrong"))
    for _ in range(10):
        assert wrong.run("true").returncode == 255
    assert small.ssh.text("echo in") == "in\n"


@pytest.mark.parametrize("kind", ["rsa", "ecdsa", "ed25519"])
def test_every_kind_of_key_works_and_its_options_hold(folder, image, tmp_path, kind):
    key = make_key(tmp_path / "key", kind)
    line = f'command="echo forced",no-pty,environment="A=1,B=2" {public(key)}'
    with SshRunner(folder, image, "--ssh-authorized-key", line) as runner:
        assert runner.ssh.with_key(key).text("echo given") == "forced\n"


def test_the_keys_of_a_cluster_open_each_node(folder, image, tmp_path):
    key = make_key(tmp_path / "cluster")
    with SshRunner(folder, image) as runner:
        runner.start(
            cluster_info={"job_ips": ["10.0.0.1", "10.0.0.2"], "master_job_ip": "10.0.0.1", "gpus_per_job": 0, "gpus_per_node": [0, 0]},
            ssh_key={"private": key.read_text(), "public": public(key)},
        )
        cluster = runner.ssh.with_key(key)
        wait_until(lambda: cluster.run("true").returncode == 0, "the cluster's key")


def test_a_users_own_keys_are_a_fallback(small, tmp_path):
    key = make_key(tmp_path / "own")
    small.ssh.text("umask 077; mkdir -p ~/.ssh && cat >~/.ssh/authorized_keys", input=public(key) + "\n")
    assert small.ssh.with_key(key).text("echo in") == "in\n"


def test_a_users_own_keys_are_ignored_where_another_user_may_write_them(small, tmp_path):
    key = make_key(tmp_path / "own")
    small.ssh.text("umask 077; mkdir -p ~/.ssh && cat >~/.ssh/authorized_keys", input=public(key) + "\n")
    own = small.ssh.with_key(key)
    for path, mode in [("/root/.ssh/authorized_keys", "666"), ("/root/.ssh", "777"), ("/root", "770"), ("/", "777")]:
        before = small.ssh.text(f"stat -c %a {path}").strip()
        small.ssh.text(f"chmod {mode} {path}")
        assert own.run("true").returncode == 255, path
        # The runner's keys are believed all the same.
        small.ssh.text(f"chmod {before} {path}")
        assert f"another user may write {path}" in small.ssh.text("cat /dstack/ssh/log/sshd.log")
        assert own.run("true").returncode == 0, path


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_a_security_key_works(small, tmp_path, kind):
    with SecurityKeyAgent(tmp_path, kind) as agent:
        key = agent.write_public(tmp_path / "token.pub")
        small.ssh.text("umask 077; mkdir -p ~/.ssh && cat >~/.ssh/authorized_keys", input=key.read_text())
        assert small.ssh.with_key(key).having(IdentityAgent=str(agent.path)).text("echo in") == "in\n"


def test_an_images_nologin_keeps_no_user_out(full):
    full.ssh.text("echo closed >/etc/nologin")
    assert full.ssh.as_user("bash").text("id -u") == "1001\n"
    full.ssh.text("rm /etc/nologin")


@pytest.mark.parametrize(
    ("user", "uid", "home"),
    [
        ("root", 0, "/root"),
        ("locked", 1003, "/home/locked"),
        ("open", 1004, "/home/open"),
        ("system", 1005, "/"),
        ("shellless", 1006, "/tmp"),
        ("nowhere", 1007, "/home/no-such-home"),
        ("relative", 1008, "/"),
        ("dark", 1009, "/home/dark"),
        ("4242", 4242, "/"),
    ],
)
def test_users_of_every_kind_get_in(full, user, uid, home):
    done = full.ssh.as_user(user).run("id -u; echo $HOME")
    assert (done.stdout.splitlines(), done.stderr) == ([str(uid), home], "")


def test_groups_are_those_of_the_image(full):
    assert full.ssh.as_user("bash").text("id -G") == "1001 44\n"


@pytest.mark.parametrize(("uid", "name"), [(4242, "4242"), (1001, "bash")])
def test_the_jobs_user_has_the_jobs_groups(folder, image, uid, name):
    files = ["-v", f"{folder}/passwd:/etc/passwd:ro", "-v", f"{folder}/group:/etc/group:ro"]
    with SshRunner(folder, image, options=[*HOST_PROGRAMS, *files]) as runner:
        assert runner.ssh.as_user(name).text("id -g") != "7\n"
        runner.start("id -G >/tmp/job; exec sleep 1000000", user={"uid": uid, "gid": 7})
        wait_until(lambda: runner.file("/tmp/job"), "the job")
        assert runner.file("/tmp/job") == "7\n"
        assert runner.ssh.as_user(name).text("id -G; id -g; id -u") == f"7\n7\n{uid}\n"
        assert runner.ssh.text("id -u") == "0\n"


@pytest.mark.parametrize("user", ["ghost", "1001", "4294967295", "99999999999"])
def test_whoever_does_not_exist_stays_out(full, user):
    assert full.ssh.as_user(user).run("true").returncode == 255


def test_nothing_is_seen_outside_of_our_folder(small):
    lines = docker("diff", small.container.name).splitlines()
    ours = ("/dstack", "/run", "/tmp", "/etc", "/root", "/work dir", "/workflow")
    assert [line for line in lines if not line[2:].startswith(ours)] == []
    assert [line for line in lines if line[2:].startswith("/run")] == ["A /run", "A /run/dstack"]


def test_a_client_that_goes_away_leaves_no_session(small):
    with small.ssh.start("127.0.0.1", "echo here; exec sleep 1005", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as session:
        assert session.stdout.readline() == "here\n"
        session.send_signal(signal.SIGTERM)
    wait_until(lambda: "sshd-session" not in docker("top", small.container.name), "the session's end")
