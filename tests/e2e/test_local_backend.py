"""The last server that has a local backend, and its CLI, drive both programs as a person would."""

import textwrap

import pytest
from support.dstack_server import ANY, LocalBackend
from support.machine import Machine
from support.processes import ROOT, SHIM, wait_until
from support.ssh_server import PORT, make_key, start_ssh_server

# A first run installs the server and makes its data base.
pytestmark = pytest.mark.timeout(600)

LINES = 3000
# Where containers in a bridge network find the machine.
BRIDGE = "172.17.0.1"


@pytest.fixture(scope="module")
def server(tmp_path_factory, image):
    folder = tmp_path_factory.mktemp("local-backend")
    with Machine(folder / "machine", image) as machine, LocalBackend(machine, folder) as server:
        yield server


def task(image: str, name: str, *commands: str, **more) -> dict:
    return {
        "type": "task",
        "name": name,
        "image": image,
        # Otherwise the server looks the image up, over https only.
        "user": "root",
        "shell": "sh",
        "commands": [textwrap.dedent(command) for command in commands],
        "resources": {**ANY, "cpu": 1},
        **more,
    }


# What catches Ctrl-C and then has a last word.
PATIENT = "trap 'echo caught | tee -a /instance/caught; exit 3' INT; echo started; while :; do sleep 0.1; done"


@pytest.fixture(scope="module")
def checkout(server, tmp_path_factory) -> str:
    """A clone of a repository that containers reach over SSH, with changes that are not committed; its folder."""
    machine = server.machine
    key = make_key(machine, "/root/.ssh/git")
    start_ssh_server(machine, tmp_path_factory.mktemp("git"), key)
    machine.write(
        "/root/make-repository",
        f"""set -e
git init -q -b main /root/code
cd /root/code
git config user.name Person
git config user.email person@example.com
printf 'one\\ntwo\\n' >kept.txt
echo gone >removed.txt
git add -A
git commit -qm first
git clone -q --bare . /srv/code.git
git remote add origin ssh://root@{BRIDGE}:{PORT}/srv/code.git
export GIT_SSH_COMMAND='ssh -i /root/.ssh/git -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null'
git fetch -q origin
git branch -q --set-upstream-to origin/main
echo three >>kept.txt
rm removed.txt
echo new >'new file.txt'
git add -A
""",
    )
    machine.run("sh", "/root/make-repository")
    return "/root/code"


@pytest.fixture(scope="module")
def runs(server, image, checkout) -> None:
    """All at once: a server takes its time with each."""
    machine = server.machine
    server.apply(task(image, "failing", "echo before", "exit 7", "echo behind"))
    server.apply(
        task(
            image,
            "code",
            "cat kept.txt; ls -1; cat 'new file.txt'",
            repos=[{"local_path": checkout, "path": "/root/code"}],
            working_dir="/root/code",
        ),
        "--git-identity",
        "/root/.ssh/git",
    )
    server.cli("secret", "set", "word", "sesame")
    machine.write("/root/project/data/a file.txt", "from a file\n")
    machine.write("/srv/folder/inner.txt", "from a folder\n")
    machine.run("sh", "-c", "mkdir -p /srv/instance && echo from the host >/srv/instance/host.txt")
    server.apply(
        task(
            image,
            "work",
            'echo "greeting=$GREETING secret=$WORD run=$DSTACK_RUN_NAME nodes=$DSTACK_NODES_NUM"',
            "cat /instance/host.txt; echo from the job >/instance/job.txt",
            'cat "/root/a file.txt" given/inner.txt',
            f"i=0; while [ $i -lt {LINES} ]; do i=$((i + 1)); echo line $i; done",
            env={"GREETING": "hello  world", "WORD": "${{ secrets.word }}"},
            volumes=["/srv/instance:/instance"],
            files=["./data/a file.txt:/root/a file.txt", "/srv/folder:given"],
            working_dir="/root",
        )
    )


@pytest.fixture(scope="module")
def patient_runs(server, image) -> None:
    server.apply(task(image, "patient", PATIENT, volumes=["/srv/patient:/instance"]))
    server.apply(task(image, "too-long", PATIENT, max_duration=3, volumes=["/srv/too-long:/instance"]))


def test_a_job_gets_what_was_asked_for_and_its_output_is_whole(server, runs):
    end = server.wait_end("work")
    assert (end["status"], end["exit_status"]) == ("done", 0), end
    lines = server.logs("work").splitlines()
    greeting = lines.index("greeting=hello  world secret=sesame run=work nodes=1")
    assert lines[greeting + 1 : greeting + 4] == ["from the host", "from a file", "from a folder"]
    assert lines[greeting + 4 :] == [f"line {number + 1}" for number in range(LINES)]
    assert server.machine.read("/srv/instance/job.txt") == "from the job\n"


def test_a_repo_is_there_with_what_is_not_committed(server, runs):
    end = server.wait_end("code")
    assert (end["status"], end["exit_status"]) == ("done", 0), end
    assert server.logs("code").splitlines()[-6:] == ["one", "two", "three", "kept.txt", "new file.txt", "new"]


def test_a_failing_job_hands_over_its_exit_status(server, runs):
    end = server.wait_end("failing")
    assert (end["status"], end["exit_status"]) == ("failed", 7)
    assert end["termination_reason"] == "container_exited_with_error"
    assert server.logs("failing").splitlines()[-1] == "before"


@pytest.mark.long
def test_a_stopped_job_may_end_in_order(server, patient_runs):
    server.wait_for("patient", "running")
    wait_until(lambda: "started" in server.logs("patient"), "output at the server", 300, pause=1)
    server.cli("stop", "-y", "patient")
    end = server.wait_end("patient")
    assert (end["status"], end["termination_reason"]) == ("terminated", "terminated_by_user")
    # This server reads no output any more once it has asked for the end.
    assert server.machine.read("/srv/patient/caught") == "caught\n"
    assert server.logs("patient").splitlines()[-1] == "started"


@pytest.mark.long
def test_a_run_that_is_stopped_at_its_host_has_failed(server, image):
    server.apply(task(image, "at-host", PATIENT, volumes=["/srv/at-host:/instance"]))
    server.wait_for("at-host", "running")
    # The runner is there until the server has asked how the job ended, which a slow one does late.
    server.machine.run(SHIM, "stop", "--timeout", "300", "at-host-0-0")
    end = server.wait_end("at-host")
    assert (end["status"], end["termination_reason"]) == ("failed", "container_exited_with_error")
    assert server.machine.read("/srv/at-host/caught") == "caught\n"


@pytest.mark.long
def test_a_job_ends_at_its_maximum_duration(server, patient_runs):
    end = server.wait_end("too-long")
    assert (end["status"], end["termination_reason"]) == ("terminated", "max_duration_exceeded")
    # With the terminal's echo of the interrupt character.
    assert server.logs("too-long").splitlines()[-2:] == ["started", "^Ccaught"]


@pytest.mark.long
def test_a_running_job_is_measured_and_logged_in_to_and_its_port_is_forwarded(server, image):
    machine = server.machine
    serve = "mkdir /www; echo $DSTACK_RUN_NAME >/www/name; httpd -f -p 8000 -h /www"
    server.apply(task(image, "served", serve, ports=[8000], env={"GREETING": "hello"}))
    server.wait_for("served", "running")
    with machine.start(
        *["env", "--chdir=/root/project", server.binaries / "dstack", "attach", "served"],
        log=machine.folder / "attach.log",
        environment={"HOME": "/root", "COLUMNS": "200"},
    ) as attached:

        def forwarded() -> bool:
            assert attached.process.poll() is None, attached.log()
            return machine.run("curl", "-sf", "http://127.0.0.1:8000/name", check=False).stdout == "served\n"

        wait_until(forwarded, "the forwarded port", 300, pause=0.3)
        # By the name that the CLI put into the SSH configuration.
        seen = machine.run("ssh", "served", "echo $GREETING from $DSTACK_RUN_NAME", environment={"HOME": "/root"}).stdout
        assert seen == "hello from served\n"
    wait_until(lambda: "%" in server.cli("metrics", "served").stdout, "figures", 300, pause=1)
    server.cli("stop", "-y", "served")
    assert server.wait_end("served")["termination_reason"] == "terminated_by_user"


@pytest.mark.long
def test_a_service_is_reached_through_the_server(server, image):
    web = task(image, "web", "mkdir /www; echo from a service >/www/index.html; httpd -f -p 8000 -h /www")
    server.apply({**web, "type": "service", "port": 8000, "auth": False})
    # The server logs in to the container for it.
    url = "http://127.0.0.1:3000/proxy/services/main/web/index.html"

    def served() -> bool:
        return server.machine.run("curl", "-sf", url, check=False).stdout == "from a service\n"

    wait_until(served, "the service's page", 300, pause=1)
    server.cli("stop", "-y", "web")
    assert server.wait_end("web")["termination_reason"] == "terminated_by_user"


@pytest.mark.long
def test_a_development_environment_is_logged_in_to(server, image):
    machine = server.machine
    settings = {"image": image, "user": "root", "shell": "sh", "resources": {**ANY, "cpu": 1}}
    server.apply({"type": "dev-environment", "name": "desk", "ide": "vscode", "env": {"GREETING": "hello"}, **settings})
    server.wait_for("desk", "running")
    attach = ["env", "--chdir=/root/project", server.binaries / "dstack", "attach", "desk"]
    with machine.start(*attach, log=machine.folder / "desk.log", environment={"HOME": "/root", "COLUMNS": "200"}) as attached:

        def logged_in() -> bool:
            assert attached.process.poll() is None, attached.log()
            login = machine.run("ssh", "desk", "echo $GREETING from $DSTACK_RUN_NAME", check=False, environment={"HOME": "/root"})
            return login.stdout == "hello from desk\n"

        wait_until(logged_in, "a login", 300, pause=0.5)
    server.cli("stop", "-y", "desk")
    assert server.wait_end("desk")["termination_reason"] == "terminated_by_user"


@pytest.mark.long
def test_a_name_is_used_again(server, image):
    for word in ("first", "second"):
        server.apply(task(image, "again", f"echo {word}"))
        assert server.wait_end("again")["status"] == "done"
        assert server.logs("again").splitlines()[-1] == word


@pytest.mark.long
def test_the_script_for_a_person_starts_and_ends_both(tmp_path, image):
    with Machine(tmp_path / "machine", image) as machine:
        log = tmp_path / "script.log"
        script = machine.start(ROOT / "scripts/local-server", "--home", "/srv/local", log=log)
        wait_until(lambda: "Ctrl-C ends both." in log.read_text(), "the script's word", 300, pause=0.2)
        # As it tells people to.
        line = next(line.strip() for line in log.read_text().splitlines() if line.strip().startswith("cd "))
        example = machine.read("/srv/local/examples/task.dstack.yml").replace("ubuntu:24.04", image)
        machine.write("/srv/local/examples/task.dstack.yml", example + "shell: sh\n")
        # Its exit status depends on how soon the server sees the end: the CLI waits for that no more than 30 s.
        done = machine.run("sh", "-c", f"{line}; dstack apply -y -f task.dstack.yml", check=False)
        assert "Hello from hello" in done.stdout
        assert script.stop() == 0
        assert machine.run("pidof", "dstack-shim-linux-amd64", "dstack-shim-linux-arm64", check=False).stdout == ""
        assert machine.run("curl", "-s", "http://127.0.0.1:3000/healthcheck", check=False).returncode == 7
