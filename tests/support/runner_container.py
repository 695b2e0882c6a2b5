"""A runner as process 1 of a container, and a job in it."""

import base64
import io
import subprocess
import tarfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import requests
from support.processes import RUNNER, free_port, wait_until
from support.sanitizers import FOLDER, keep_report

# What a container is given to see this machine's programs (bash, python3, …) in an image that has none.
HOST_PROGRAMS = ["-v", "/usr:/usr:ro", "-v", "/usr/bin:/bin:ro", "-v", "/usr/lib:/lib:ro", "-v", "/usr/lib64:/lib64:ro"]


def docker(*arguments: str, check: bool = True) -> str:
    return subprocess.run(["docker", *arguments], check=check, capture_output=True, text=True).stdout


@dataclass
class Result:
    """What a job was, told by pulls until has_more turned false."""

    states: list[dict]
    text: str
    runner_log: str

    @property
    def end(self) -> dict:
        return self.states[-1]

    @property
    def names(self) -> list[str]:
        return [state["state"] for state in self.states]


def submission(commands: list[str], **more) -> dict:
    """A /api/submit body; keywords go into job_spec but for those that name another part."""
    body = {
        "run": {
            "id": "run-id",
            "run_spec": {
                "run_name": "run-name",
                "repo_id": "repo-id",
                "repo_data": {"repo_type": "virtual"},
                "configuration": {"type": "task"},
                "configuration_path": "dstack.yaml",
            },
        },
        "job_spec": {
            "replica_num": 0,
            "job_num": 0,
            "jobs_per_replica": 1,
            "commands": commands,
            "env": {},
            "repo_dir": "/workflow",
            "repo_data": {"repo_type": "virtual"},
        },
        "job_submission": {"id": "job-id"},
        "cluster_info": {"job_ips": [""], "master_job_ip": "", "gpus_per_job": 0, "gpus_per_node": [0]},
        "secrets": {},
        "repo_credentials": None,
        "log_quota_hour": None,
    }
    for name, value in more.items():
        (body if name in body else body["job_spec"])[name] = value
    return body


class RunnerContainer:
    """Removed at the end of a `with`."""

    def __init__(self, image: str, *arguments: str, options: list[str] = (), entrypoint: list[str] = ("/dstack-runner",)):
        self.port = free_port()
        self.ssh_port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.name = f"runner-test-{uuid.uuid4().hex[:12]}"
        self.session = requests.Session()
        docker(
            *["run", "-d", "--name", self.name, "--network", "host", "-v", f"{RUNNER}:/dstack-runner:ro", *options],
            *["--entrypoint", entrypoint[0], image, *entrypoint[1:]],
            *["start", "--http-address", "localhost", "--http-port", str(self.port), "--ssh-port", str(self.ssh_port)],
            *arguments,
        )

    def __enter__(self) -> "RunnerContainer":
        return self

    def __exit__(self, *_):
        if FOLDER:
            keep_report(self.name, self.output())
        subprocess.run(["docker", "rm", "-fv", self.name], capture_output=True)

    def wait_ready(self) -> "RunnerContainer":
        def answers():
            try:
                return self.get("/api/healthcheck").ok
            except requests.ConnectionError:
                assert self.running, self.output()
                return False

        wait_until(answers, "the runner's healthcheck")
        return self

    @property
    def running(self) -> bool:
        return docker("inspect", "-f", "{{.State.Running}}", self.name).strip() == "true"

    def output(self) -> str:
        done = subprocess.run(["docker", "logs", self.name], capture_output=True, text=True)
        return done.stdout + done.stderr

    def wait(self, limit: float = 30) -> int:
        """Its exit code."""
        wait_until(lambda: not self.running, "the runner's end", limit)
        return int(docker("inspect", "-f", "{{.State.ExitCode}}", self.name))

    def signal(self, name: str) -> None:
        docker("kill", "-s", name, self.name)

    def processes(self) -> list[str]:
        """The command lines in the container, the runner's own and its sshd's not."""
        lines = docker("top", self.name, "-eo", "pid,args").splitlines()[1:]
        commands = [line.split(None, 1)[1] for line in lines]
        return [command for command in commands if "/dstack-runner" not in command and "sshd" not in command]

    def copy_out(self, path: str) -> bytes:
        """A file of the container as it is, also after its end; empty if it is not there."""
        done = subprocess.run(["docker", "cp", f"{self.name}:{path}", "-"], capture_output=True)
        if done.returncode != 0:
            return b""
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            return archive.extractfile(archive.next()).read()

    def wait_over(self, limit: float = 30) -> None:
        """Until the job is over; nothing is pulled, so the runner stays."""
        wait_until(lambda: "The job is over" in self.output(), "the job's end", limit)

    def get(self, path: str, **more) -> requests.Response:
        return self.session.get(self.url + path, timeout=9, **more)

    def post(self, path: str, **more) -> requests.Response:
        return self.session.post(self.url + path, timeout=9, **more)

    def submit(self, commands: list[str], **more) -> requests.Response:
        return self.post("/api/submit", json=submission(commands, **more))

    def start(self, commands: list[str], **more) -> dict | None:
        """Submits and runs a job; what /api/run answered."""
        submitted = self.submit(commands, **more)
        assert submitted.status_code == 200, submitted.text
        ran = self.post("/api/run")
        assert ran.status_code == 200, ran.text
        return ran.json() if ran.text else None

    def pull(self, timestamp: int = 0) -> dict:
        answer = self.get(f"/api/pull?timestamp={timestamp}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def wait_output(self, text: str, limit: float = 30) -> None:
        """Until the job has printed `text`; nothing is pulled."""
        wait_until(lambda: text.encode() in self.raw_output(), f"output {text!r}", limit)

    def raw_output(self) -> bytes:
        return self.copy_out("/tmp/runner/job.log")

    def result(self, limit: float = 30) -> Result:
        """Pulls until has_more is false."""
        result = Result([], "", "")
        timestamp = 0
        deadline = time.monotonic() + limit
        while True:
            page = self.pull(timestamp)
            result.states += page["job_states"]
            for event in page["job_logs"]:
                result.text += base64.b64decode(event["message"]).decode()
            for event in page["runner_logs"]:
                result.runner_log += base64.b64decode(event["message"]).decode()
            timestamp = page["last_updated"]
            if not page["has_more"]:
                return result
            assert time.monotonic() < deadline, f"the job has not ended: {result}"
            time.sleep(0.02)

    def run(self, commands: list[str], limit: float = 30, **more) -> Result:
        self.start(commands, **more)
        return self.result(limit)


def scratch_image(folder: Path) -> str:
    """An image that holds nothing; made once on this machine."""
    name = "dstack-test-scratch:1"
    if not docker("images", "-q", name).strip():
        empty = folder / "empty.tar"
        subprocess.run(["tar", "-cf", empty, "-T", "/dev/null"], check=True)
        docker("import", str(empty), name)
    return name
