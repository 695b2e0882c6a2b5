"""Logging in to images that lack what an SSH server takes for granted, or have one of their own."""

import subprocess

import pytest
from support.distribution_sshd import options_for, start_beside
from support.images import debian_image
from support.processes import wait_until
from support.runner_container import docker, scratch_image
from support.ssh_servers import SshRunner

pytestmark = pytest.mark.release


def test_an_image_with_nothing_copies_and_says_that_it_has_no_shell(tmp_path):
    with SshRunner(tmp_path, scratch_image(tmp_path)) as runner:
        for done in (runner.ssh.run("ls"), runner.ssh.login("")):
            assert done.returncode == 127
            assert "This image has no shell" in done.stdout + done.stderr
        (tmp_path / "it").write_text("it")
        assert runner.ssh.sftp(f"put {tmp_path}/it /it", f"get /it {tmp_path}/back").returncode == 0
        assert (tmp_path / "back").read_text() == "it"
        # Any number is a user here.
        assert runner.ssh.as_user("1234").sftp("ls -ln /it").returncode == 0


@pytest.fixture(scope="module")
def shell_image(tmp_path_factory):
    """A static shell and nothing else."""
    folder = tmp_path_factory.mktemp("shell")
    (folder / "bin").mkdir()
    subprocess.run(["cp", "/bin/busybox", folder / "bin/sh"], check=True)
    name = "dstack-test-shell:1"
    tar = subprocess.run(["tar", "-C", folder, "-c", "."], check=True, capture_output=True)
    subprocess.run(["docker", "import", "-", name], input=tar.stdout, check=True, capture_output=True)
    return name


def test_an_image_with_only_a_shell_has_commands_and_logins(shell_image, tmp_path):
    with SshRunner(tmp_path, shell_image) as runner:
        runner.start("echo >/ready; read never </dstack/ssh/log", env={"A": "job's"}, working_dir="/work")
        assert runner.ssh.text("echo $0 $HOME").split() == ["sh", "/root"]
        assert runner.ssh.login("exit 4\n").returncode == 4


def test_a_read_only_root_is_no_hindrance(image, tmp_path):
    options = ["--read-only", "--tmpfs", "/dstack:exec", "--tmpfs", "/tmp"]
    with SshRunner(tmp_path, image, options=options) as runner:
        runner.start(env={"A": "job's"}, working_dir="/tmp/work")
        assert runner.ssh.run("true").returncode == 0
        # /etc/profile cannot be written: the session brings the variables itself.
        runner.ssh.text("until [ -s /dstack/environment ]; do sleep 0.05; done")
        runner.ssh.login('echo "$A" $PWD >/tmp/seen; exit\n')
        assert runner.ssh.text("cat /tmp/seen") == "job's /tmp/work\n"
        (tmp_path / "it").write_text("it")
        assert runner.ssh.sftp(f"put {tmp_path}/it /tmp/it").returncode == 0


@pytest.mark.parametrize(
    "options",
    [
        ["--cap-drop", "SYS_CHROOT"],
        ["--cap-drop", "ALL"],
        ["--security-opt", "no-new-privileges"],
        ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--pids-limit", "100"],
    ],
    ids=lambda options: "-".join(options),
)
def test_root_gets_in_with_whatever_powers_the_container_has(image, tmp_path, options):
    with SshRunner(tmp_path, image, options=options) as runner:
        assert runner.ssh.text("id -u") == "0\n"
        assert runner.ssh.login("exit 4\n").returncode == 4
        assert runner.ssh.sftp("ls /").returncode == 0


def test_a_damaged_user_database_is_no_hindrance(image, tmp_path):
    (tmp_path / "passwd").write_text("root:x:0\n\n:::\nnonsense\nann:x:1:1::/tmp:/bin/sh:more")
    (tmp_path / "nsswitch").write_text("passwd: sss nonsense\n")
    options = ["-v", f"{tmp_path}/passwd:/etc/passwd:ro", "-v", f"{tmp_path}/nsswitch:/etc/nsswitch.conf:ro"]
    with SshRunner(tmp_path, image, options=options) as runner:
        assert runner.ssh.text("id -u") == "0\n"


def test_a_runner_that_is_not_the_first_process_serves_logins_too(image, tmp_path):
    with SshRunner(tmp_path, image, entrypoint=["/bin/sh", "-c", '/dstack-runner "$@"; exit $?', "sh"]) as runner:
        assert runner.ssh.text("echo in") == "in\n"
        runner.container.run(["true"])
        assert runner.container.wait() == 0
        log = docker("logs", runner.container.name).splitlines()
        assert [line for line in log if " info " not in line] == []


def test_a_server_of_the_images_own_runs_beside_ours(image, tmp_path):
    with SshRunner(tmp_path, image, options=options_for(tmp_path)) as runner:
        own = start_beside(runner, tmp_path)
        runner.start(env={"A": "job's"})
        wait_until(lambda: runner.file("/dstack/environment"), "the job's variables")
        assert runner.ssh.text("echo $A") == "job's\n"
        assert own.text("echo $A") == "\n"


@pytest.fixture(scope="module")
def debian():
    return debian_image()


# Making the image takes a while, once.
@pytest.mark.long
@pytest.mark.timeout(900)
def test_debian_has_logins_for_whoever_useradd_made(debian, tmp_path):
    with SshRunner(tmp_path, debian) as runner:
        docker("exec", runner.container.name, "useradd", "-m", "-s", "/bin/bash", "ubuntu")
        docker("exec", runner.container.name, "useradd", "-m", "open")
        docker("exec", runner.container.name, "passwd", "-d", "open")
        docker("exec", runner.container.name, "passwd", "-l", "root")
        script = "env >/tmp/job; exec sleep 1000000"
        runner.start(script, user={"username": "ubuntu"}, env={"A": "job's", "PATH": "/opt/bin:/usr/bin:/bin"}, working_dir="~/work")
        wait_until(lambda: runner.file("/tmp/job"), "the job")
        for user in ("ubuntu", "open", "root", "nobody", "www-data"):
            ssh = runner.ssh.as_user(user)
            assert ssh.text("echo $A $PATH; id -un").splitlines() == ["job's /opt/bin:/usr/bin:/bin", user]
            ssh.login(f"echo $A $PATH $PWD >/tmp/login-{user}; exit\n")
            assert runner.file(f"/tmp/login-{user}") == "job's /opt/bin:/usr/bin:/bin /home/ubuntu/work\n"


@pytest.mark.long
@pytest.mark.timeout(900)
def test_debian_without_a_shadow_file_is_open_to_the_key(debian, tmp_path):
    with SshRunner(tmp_path, debian) as runner:
        docker("exec", runner.container.name, "useradd", "-m", "ubuntu")
        docker("exec", runner.container.name, "rm", "/etc/shadow")
        assert runner.ssh.as_user("ubuntu").text("id -un") == "ubuntu\n"
        (tmp_path / "it").write_text("it")
        assert runner.ssh.as_user("ubuntu").scp(f"{tmp_path}/it", "HOST:it").returncode == 0
