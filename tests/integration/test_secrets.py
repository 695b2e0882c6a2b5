"""Passwords, tokens and keys at the lowest log level: they are where they are meant to be, and nowhere else."""

import base64
import json
import os
import resource
import signal
import subprocess
import tarfile
import uuid
from pathlib import Path

import pytest
import requests
from conftest import containers_of, docker
from support.argument_lists import ArgumentLists, Environments
from support.git_remotes import Authority, GitHttps, GitSsh, Repository
from support.person import Client
from support.processes import RUNNER, SHIM, Shim, free_port, wait_until
from support.registries import closed_image, start_closed_registry  # noqa: F401
from support.runner_container import HOST_PROGRAMS, RunnerContainer, scratch_image, submission
from support.shim_calls import Calls
from test_components import downloads, install, runner_of  # noqa: F401
from test_runner_uploads import tar

RUNNER_URL = "http://127.0.0.1:10999"  # of a task in the host's network
# Where a job is given them: its login sessions, its own files, the key to the other nodes, and, while it runs, its git.
PLACES_TO_THE_END = ("dstack/profile", "dstack/environment", "workflow/", "files/", "root/.ssh/dstack_job")
PLACES_MEANWHILE = (*PLACES_TO_THE_END, "root/.config/gh/hosts.yml", "root/.ssh/id_rsa")
# What the job's commands are: only they may have the job's environment.
PROGRAMS_OF_THE_JOB = {"sh", "sleep", "a process that has ended"}


class Marks:
    """A secret by name, each of which is found wherever it stands, also within something in base64."""

    def __init__(self):
        self.values: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        return self.values.setdefault(name, f"marked{name.title()}{uuid.uuid4().hex}")

    def add(self, name: str, value: str) -> None:
        self.values[name] = value

    def forms(self, name: str) -> list[bytes]:
        value = self.values[name].encode()
        # A byte in front of it or two move it within the groups of three; the groups that it shares are left out.
        shifted = [base64.b64encode(b"\0" * before + value)[4 if before else 0 : -4] for before in range(3)]
        return [value, *shifted]

    def found_in(self, content: bytes) -> set[str]:
        return {name for name in self.values if any(form in content for form in self.forms(name))}


def files_with_marks(marks: Marks, root: Path) -> dict[str, set[str]]:
    """The files below a folder by their paths there, links not followed."""
    found = {}
    for folder, below, names in os.walk(root):
        if Path(folder) == root:
            below[:] = [name for name in below if name not in ("proc", "sys")]
        for name in names:
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink() and (marked := marks.found_in(path.read_bytes())):
                found[str(path.relative_to(root))] = marked
    return found


def files_of_an_export(marks: Marks, container: str, folder: Path) -> dict[str, set[str]]:
    """The same of a container that has ended."""
    archive = folder / "export.tar"
    docker("export", "--output", str(archive), container)
    found = {}
    with tarfile.open(archive) as files:
        for entry in files:
            if entry.isreg() and (marked := marks.found_in(files.extractfile(entry).read())):
                found[entry.name] = marked
    archive.unlink()
    return found


def elsewhere(found: dict[str, set[str]], places: tuple[str, ...] = ()) -> dict[str, set[str]]:
    """Without what is in these places, and without the control, which the job itself wrote."""
    rest = {path: names - {"control"} for path, names in found.items() if not path.startswith(places)}
    return {path: names for path, names in rest.items() if names}


@pytest.fixture
def marks() -> Marks:
    return Marks()


@pytest.fixture
def closed_registry(tmp_path, marks):
    with start_closed_registry(tmp_path, "reader", marks["password"]) as registry:
        yield registry


@pytest.fixture
def outputs() -> list[bytes]:
    """What programs printed or answered."""
    return []


class Job:
    """A job of a task in the host's network, until it is told to end."""

    def __init__(self, calls: Calls, task: dict, home: Path):
        self.calls, self.task = calls, task
        self.session = requests.Session()
        wait_until(self.answers, "the runner")

    def answers(self) -> bool:
        try:
            return self.session.get(RUNNER_URL + "/api/healthcheck", timeout=5).ok
        except requests.ConnectionError:
            return False

    def post(self, path: str, **more) -> None:
        answer = self.session.post(RUNNER_URL + path, timeout=30, **more)
        assert answer.status_code == 200, answer.text

    def start(self, command: str, uploads: dict, diff: str, **more) -> None:
        self.post("/api/submit", json=submission(["sh", "-c", command], **more))
        self.post("/api/upload_archive", files=uploads)
        self.post("/api/upload_code", data=diff.encode())
        self.post("/api/run")

    def pull(self) -> dict:
        answer = self.session.get(RUNNER_URL + "/api/pull?timestamp=0", timeout=30)
        return answer.json()

    def state(self) -> str:
        states = self.pull()["job_states"]
        return states[-1]["state"] if states else ""


def credentials_of(remote, path: str, marks: Marks) -> dict:
    if isinstance(remote, GitHttps):
        return {"clone_url": f"{remote.url}/code", "oauth_token": marks["token"], "private_key": None}
    marks.add("key", remote.key.splitlines()[2])
    return {"clone_url": f"{remote.url}{path}", "oauth_token": None, "private_key": remote.key}


DIFF = """diff --git a/file b/file
--- a/file
+++ b/file
@@ -1 +1 @@
-text
+{}
"""


@pytest.mark.parametrize("kind", ["https", "ssh"])
def test_a_job_s_secrets_are_where_it_is_given_them_and_nowhere_else(kind, tmp_path, home, marks, closed_image, outputs):  # noqa: F811
    authority = Authority(tmp_path / "authority")
    repository = Repository(tmp_path / "repositories/code")
    repository.commit(file="text\n")
    remote = GitHttps(tmp_path / "repositories", authority, marks["token"]) if kind == "https" else GitSsh(tmp_path / "ssh")
    certificate = {"instance_path": str(authority.certificate), "path": "/etc/ssl/certs/ca-certificates.crt"}
    control = marks["control"]
    with remote, Shim(home, "--shim-log-level", "trace", "--runner-log-level", "trace") as shim:
        calls = Calls(shim.wait_ready())
        login = {"registry_username": "reader", "registry_password": marks["password"]}
        credentials = credentials_of(remote, str(repository.path), marks)
        secrets, env, cluster = {"GIVEN": marks["secret"]}, {"TOLD": marks["variable"]}, marks["cluster"]
        everything = [marks.values[name] for name in marks.values if name != "control"]
        with ArgumentLists(*everything) as arguments, Environments(*everything) as environments, ArgumentLists(control) as controls:
            refused = calls.run(closed_image, network_mode="host", registry_username="reader", registry_password=marks["password"] + "x")
            assert refused["status"] == "terminated", refused
            task = calls.run(closed_image, network_mode="host", instance_mounts=[certificate], **login)
            assert task["status"] == "running", task
            container = task["container_name"]
            job = Job(calls, task, home)
            job.start(
                f"echo {control}; printf %s {control} | base64 -w 0; until [ -e /tmp/over ]; do sleep 0.1; done",
                {"archive": ("files", tar(files__data=marks["upload"]))},
                DIFF.format(marks["diff"]),
                env=env,
                secrets=secrets,
                repo_data={"repo_type": "remote", "repo_branch": "main", "repo_hash": "", "repo_config_name": "x", "repo_config_email": "x@y"},
                repo_credentials=credentials,
                file_archives=[{"id": "files", "path": "/files"}],
                jobs_per_replica=2,
                ssh_key={"private": cluster, "public": "ssh-ed25519 AAAA"},
                cluster_info={"job_ips": ["127.0.0.1", "127.0.0.2"], "master_job_ip": "127.0.0.1", "gpus_per_job": 0, "gpus_per_node": [0, 0]},
            )
            wait_until(lambda: job.state() in ("running", "failed"), "the job")
            root = Path(f"/proc/{docker('inspect', '-f', '{{.State.Pid}}', container).strip()}/root")
            wait_until(lambda: "control" in marks.found_in((root / "tmp/runner/job.log").read_bytes()), f"the job's output: {job.pull()}")
            while_it_runs = files_with_marks(marks, root)
            outputs += [docker("inspect", container).encode(), shim.log().encode(), calls.get(f"/api/tasks/{task['id']}").content]
            docker("exec", container, "touch", "/tmp/over")
            last = wait_until(lambda: not (page := job.pull())["has_more"] and page, "the end of the output")
            assert last["job_states"][-1]["state"] == "done", last
            outputs += [base64.b64decode(event["message"]) for event in last["runner_logs"]]
            calls.wait_for(task["id"], "terminated")
        outputs += [docker("logs", container).encode(), Client(shim.port)("inspect", task["id"]).stdout]
        bundle = tmp_path / "bundle.tar"
        Client(shim.port)("doctor", "--bundle", str(bundle))
        outputs.append(bundle.read_bytes())
        afterwards = files_of_an_export(marks, container, tmp_path)
        on_the_host = files_with_marks(marks, home)
        outputs += [shim.log().encode(), calls.get("/metrics").content]

    # The search finds what is there: what the job was given, what it wrote, and what is in base64.
    assert set().union(*while_it_runs.values()) == marks.values.keys() - {"password"}
    assert environments.found and controls.found and arguments.samples > 5
    outputs_of_job = list((home / "runners").rglob("job.log"))
    assert [marks.found_in(path.read_bytes()) for path in outputs_of_job] == [{"control"}]
    assert marks.forms("control")[1] in outputs_of_job[0].read_bytes()

    assert elsewhere(while_it_runs, PLACES_MEANWHILE) == {}
    assert elsewhere(afterwards, PLACES_TO_THE_END) == {}
    assert elsewhere(on_the_host) == {}
    marks.values.pop("control")
    assert [marks.found_in(output) for output in outputs] == [set()] * len(outputs)
    assert arguments.found == set()
    assert environments.found <= PROGRAMS_OF_THE_JOB, environments.found


@pytest.mark.parametrize("kind", ["file", "helper"])
def test_the_host_s_logins_are_kept_nowhere(kind, tmp_path, home, marks, closed_registry, closed_image, outputs):  # noqa: F811
    address, user, password = closed_registry
    programs = tmp_path / "programs"
    programs.mkdir()
    helper = programs / "docker-credential-marked"
    helper.write_text(f"""#!/bin/sh\necho '{{"Username": "{user}", "Secret": "{password}"}}'\n[ ! -e {tmp_path}/fails ]\n""")
    helper.chmod(0o755)
    login = {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}
    config = {"auths": {address: login}} if kind == "file" else {"credsStore": "marked"}
    (programs / "config.json").write_text(json.dumps(config))
    environment = {"DOCKER_CONFIG": str(programs), "PATH": f"{programs}:{os.environ['PATH']}"}
    with Shim(home, "--shim-log-level", "trace", "--host-credentials", environment=environment) as shim:
        calls = Calls(shim.wait_ready())
        with ArgumentLists(password) as arguments, Environments(password) as environments:
            (tmp_path / "fails").touch()
            if kind == "helper":
                assert calls.run(closed_image)["status"] == "terminated"
            (tmp_path / "fails").unlink()
            task = calls.run(closed_image)
            assert task["status"] == "running", task
        outputs += [docker("inspect", task["container_name"]).encode(), calls.get(f"/api/tasks/{task['id']}").content]
        outputs += [Client(shim.port)("inspect", task["id"]).stdout, calls.get("/metrics").content]
        bundle = tmp_path / "bundle.tar"
        Client(shim.port)("doctor", "--bundle", str(bundle))
        outputs += [bundle.read_bytes(), shim.log().encode()]
        root = Path(f"/proc/{docker('inspect', '-f', '{{.State.Pid}}', task['container_name']).strip()}/root")
        assert files_with_marks(marks, root) == {}
    assert f"Pulling {closed_image} with the host's login to {address}".encode() in outputs[-1]
    assert [marks.found_in(output) for output in outputs] == [set()] * len(outputs)
    assert files_with_marks(marks, home) == {}
    assert arguments.found == set() and environments.found == set()


def test_variables_of_the_client_and_signatures_of_downloads_are_not_kept(tmp_path, home, image, marks, outputs, downloads):
    downloads.files["runner"] = RUNNER.read_bytes()
    variables = tmp_path / "variables"
    with Shim(home, "--shim-log-level", "trace", "--runner-log-level", "trace", runner=tmp_path / "dstack-runner") as shim:
        calls = Calls(shim.wait_ready())
        client = Client(shim.port, image)
        for name in ("runner", "missing"):
            signature = f"X-Amz-Credential={marks['credential']}&X-Amz-Signature={marks['signature']}"
            answer = install(calls, "dstack-runner", f"{downloads.url(name)}?{signature}")
            wait_until(lambda: runner_of(calls)["status"] != "installing", f"the download of {name}: {answer.text}")
            outputs.append(answer.content)
        wait_until(lambda: "404" in shim.log(), "the failed download")
        of_tasks, of_exec = [marks["job"], marks["program"]], marks["exec"]
        # Those of exec are in the client's environment, where the person put them.
        with ArgumentLists(*marks.values.values()) as arguments, Environments(*of_tasks) as environments:
            for name, options in (("job", []), ("program", ["--entrypoint", "sh"])):
                variables.write_text(f"PASSWORD={marks[name]}\n")
                script = f"[ ${{#PASSWORD}} = {len(marks[name])} ] && echo given; exec sleep 1000"
                command = ["-c", script] if options else ["sh", "-c", script]
                started = client("run", "--image", image, "--name", name, "--detach", "--env-file", variables, *options, "--", *command)
                assert started.returncode == 0, started.stderr
                client.wait_for_output(name, b"given")
                os.environ["PASSWORD"] = of_exec
                try:
                    inside = client("exec", "-e", "PASSWORD", name, "sh", "-c", "echo ${#PASSWORD}; sleep 0.3")
                finally:
                    del os.environ["PASSWORD"]
                assert inside.stdout == f"{len(of_exec)}\n".encode(), inside
                outputs += [inside.stdout + inside.stderr, client("inspect", name).stdout, client("logs", name).stdout]
            bundle = tmp_path / "bundle.tar"
            client("doctor", "--bundle", str(bundle))
            outputs += [bundle.read_bytes(), client("ps", "--json").stdout, calls.get("/metrics").content]
        outputs.append(shim.log().encode())
        assert [marks.found_in(output) for output in outputs] == [set()] * len(outputs)
        assert files_with_marks(marks, home) == {}
        assert arguments.found == set()
        assert {"sleep"} <= environments.found <= PROGRAMS_OF_THE_JOB, environments.found
        containers = containers_of(home)
        assert len(containers) == 2 and [marks.found_in(docker("inspect", container).encode()) for container in containers].count({"program"}) == 1


def ends_with_a_core_file(command: list, folder: Path, ready) -> bool:
    """Whether a program that aborts while core files are allowed writes one."""
    allowed = lambda: resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
    with (folder / "output").open("ab") as output:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, preexec_fn=allowed)
    try:
        wait_until(lambda: ready(process), f"{command}")
        process.send_signal(signal.SIGABRT)
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT).si_code == os.CLD_DUMPED
    finally:
        process.kill()
        process.wait()


def test_neither_program_writes_a_core_file(tmp_path):
    shim_port, runner_port = free_port(), free_port()

    def listens_on(port: int):
        def answers(process) -> bool:
            assert process.poll() is None, (tmp_path / "output").read_text()
            try:
                return requests.get(f"http://127.0.0.1:{port}/api/healthcheck", timeout=5).ok
            except requests.ConnectionError:
                return False

        return answers

    is_sleeping = lambda process: Path(f"/proc/{process.pid}/comm").read_text() == "sleep\n"
    if not ends_with_a_core_file(["sleep", "1000"], tmp_path, is_sleeping):
        pytest.skip("this host writes no core files")
    shim = [SHIM, "--shim-home", tmp_path / "home", "--shim-http-port", str(shim_port), "--runner-binary-path", RUNNER]
    assert not ends_with_a_core_file(shim, tmp_path, listens_on(shim_port))
    runner = [RUNNER, "start", "--temp-dir", tmp_path / "runner", "--http-address", "localhost"]
    runner += ["--http-port", str(runner_port), "--ssh-port", str(free_port())]
    assert not ends_with_a_core_file(runner, tmp_path, listens_on(runner_port))


def test_a_job_has_the_limit_of_core_files_of_its_container(tmp_path):
    with RunnerContainer(scratch_image(tmp_path), options=[*HOST_PROGRAMS, "--ulimit", "core=5120:10240"]) as container:
        result = container.wait_ready().run(["bash", "-c", "grep -h 'core file' /proc/self/limits /proc/1/limits"])
    job, runner = result.text.splitlines()
    assert job.split()[4:6] == ["5120", "10240"]
    assert runner.split()[4:6] == ["1", "10240"]
