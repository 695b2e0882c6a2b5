"""A job of GitLab's, its stages called as gitlab-runner's custom executor calls a driver: a process for each, the job in a file, its
variables in the environment."""

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from support.processes import SHIM

BUILD_FAILURE = 91
SYSTEM_FAILURE = 92


@dataclass
class Done:
    status: int
    output: str
    errors: str


@dataclass
class GitLabJob:
    folder: Path  # for this job's files
    shim_port: int
    number: int
    image: dict | str | None = None
    services: list = field(default_factory=list)
    variables: list = field(default_factory=list)
    credentials: list = field(default_factory=list)
    flags: list = field(default_factory=list)
    project: int = 7

    def __post_init__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.state = self.folder.parent / "state"
        self.status_file = self.folder / "status"
        well_known = {
            "CI": "true",
            "CI_JOB_ID": str(self.number),
            "CI_PIPELINE_ID": str(self.number * 10),
            "CI_PROJECT_ID": str(self.project),
            "CI_SERVER_URL": "https://gitlab.example",
        }
        self.variables = [{"key": k, "value": v, "public": True, "file": False} for k, v in well_known.items()] + [
            {"key": "CI_JOB_TOKEN", "value": "secret-token", "public": False, "file": False, "masked": True},
            *self.variables,
        ]
        response = {
            "id": self.number,
            "token": "secret-token",
            "job_info": {"id": self.number, "name": "job", "stage": "test", "project_id": self.project},
            "variables": self.variables,
            "image": {"name": self.image} if isinstance(self.image, str) else self.image,
            "services": self.services,
            "credentials": self.credentials,
            "features": {},
        }
        self.response_file = self.folder / "response.json"
        self.response_file.touch(0o600)
        self.response_file.write_text(json.dumps(response))

    def command(self, *stage: str) -> list:
        return [SHIM, "ci", "gitlab", "--state", self.state, "--shim-http-port", str(self.shim_port), *self.flags, *stage]

    def environment(self) -> dict:
        return {
            "PATH": os.environ["PATH"],
            "TMPDIR": str(self.folder),
            "JOB_RESPONSE_FILE": str(self.response_file),
            "BUILD_FAILURE_EXIT_CODE": str(BUILD_FAILURE),
            "SYSTEM_FAILURE_EXIT_CODE": str(SYSTEM_FAILURE),
            "BUILD_EXIT_CODE_FILE": str(self.status_file),
            **{f"CUSTOM_ENV_{variable['key']}": variable["value"] for variable in self.variables},
        }

    def call(self, *stage: str) -> Done:
        done = subprocess.run(self.command(*stage), capture_output=True, text=True, errors="replace", env=self.environment())
        return Done(done.returncode, done.stdout, done.stderr)

    def config(self) -> dict:
        done = self.call("config")
        assert done.status == 0, done
        return json.loads(done.output)

    def prepare(self) -> Done:
        done = self.call("prepare")
        assert done.status == 0, done
        return done

    def script(self, text: str, stage: str = "build_script") -> Done:
        return self.call("run", str(self.script_file(text, stage)), stage)

    def script_file(self, text: str, stage: str) -> Path:
        path = self.folder / f"script-{stage}"
        path.write_text(text)
        return path

    def begin(self, text: str, stage: str = "build_script") -> subprocess.Popen:
        command = self.command("run", str(self.script_file(text, stage)), stage)
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.environment())

    def cleanup(self) -> Done:
        return self.call("cleanup")

    @property
    def script_status(self) -> str:
        """What the driver says of the script's own status, to a gitlab-runner of 18 or later."""
        return self.status_file.read_text() if self.status_file.exists() else ""
