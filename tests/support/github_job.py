"""A job of GitHub Actions', its container hooks called as the official agent calls them: a process of bash for each, with a line of JSON
on its standard input, a response file that is there and empty, and what the agent has in its environment."""

import contextlib
import json
import os
import shlex
import subprocess
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from support.processes import SHIM

DOCKER_SOCKET = "/var/run/docker.sock"


@dataclass
class Done:
    status: int
    output: str  # both streams, as the agent has them in its log
    answer: dict | None


def mount(source: str | None, target: str, read_only: bool = False, said: str | None = None) -> dict:
    return {"userProvidedValue": said, "sourceVolumePath": source, "targetVolumePath": target, "readOnly": read_only}


def user_mount(text: str) -> dict:
    """A volume of the workflow, as the agent takes it apart."""
    parts = text.split(":")
    read_only = parts[-1].lower() == "ro"
    if len(parts) == 3 or (len(parts) == 2 and not read_only):
        return mount(parts[0], parts[1], read_only, text)
    return mount(None, parts[0], read_only, text)


def registry_of(image: str) -> str:
    first = image.split("/")[0]
    named = "/" in image and ("." in first or ":" in first or first == "localhost")
    return first if named else "https://index.docker.io/v1/"


@dataclass
class GitHubJob:
    folder: Path  # for this agent's files
    shim_port: int
    container: dict | None = None
    services: list = field(default_factory=list)
    flags: list = field(default_factory=list)
    user: int | None = None  # that the agent runs as
    path: str = os.environ["PATH"]
    program: Path | str = SHIM

    def __post_init__(self):
        self.work = self.folder / "_work"
        self.temp = self.work / "_temp"
        self.workspace = self.work / "project/project"
        self.externals = self.folder / "externals"
        self.state_folder = self.folder / "state"
        self.state = None
        self.number = 0
        folders = [self.workspace, self.work / "_actions", self.work / "_tool", self.externals, self.state_folder]
        folders += [self.temp / name for name in ("_github_home", "_github_workflow", "_runner_file_commands", "_runner_hook_responses")]
        for made in folders:
            made.mkdir(parents=True, exist_ok=True)
        self.hook = self.folder / "hook.sh"
        words = [self.program, "ci", "github-hook", "--state", self.state_folder, "--shim-http-port", self.shim_port, *self.flags]
        self.hook.write_text(f"exec {shlex.join(map(str, words))}\n")
        if self.user is not None:
            subprocess.run(["chown", "-R", f"{self.user}:{self.user}", self.folder], check=True)

    def environment(self) -> dict:
        return {
            "PATH": self.path,
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_JOB": "train",
            "GITHUB_RUN_ID": "1234567890",
            "GITHUB_REPOSITORY": "team/project",
            "GITHUB_WORKSPACE": str(self.workspace),
            "RUNNER_NAME": "r",
            "RUNNER_OS": "Linux",
            "RUNNER_TEMP": str(self.temp),
            "RUNNER_TOOL_CACHE": str(self.work / "_tool"),
            "ACTIONS_RUNNER_CONTAINER_HOOKS": str(self.hook),
        }

    def container_args(self, said: dict, is_job: bool) -> dict:
        """What a workflow says of a container (image, credentials, env, ports, volumes, options), as the agent hands it on."""
        credentials = said.get("credentials")
        registry = credentials and {**credentials, "serverUrl": registry_of(said["image"])}
        variables = dict(said.get("env", {}))
        system = []
        if is_job:
            variables["HOME"] = "/github/home"
            system = [
                mount(DOCKER_SOCKET, DOCKER_SOCKET),
                mount(str(self.work), "/__w"),
                mount(str(self.externals), "/__e", True),
                mount(str(self.temp), "/__w/_temp"),
                mount(str(self.work / "_actions"), "/__w/_actions"),
                mount(str(self.work / "_tool"), "/__w/_tool"),
                mount(str(self.temp / "_github_home"), "/github/home"),
                mount(str(self.temp / "_github_workflow"), "/github/workflow"),
            ]
        return {
            "image": said["image"],
            "dockerfile": None,
            "entryPointArgs": ["-f", "/dev/null"] if is_job else [word for word in said.get("command", "").split(" ") if word],
            "entryPoint": "tail" if is_job else said.get("entrypoint"),
            "workingDirectory": self.inside(self.workspace) if is_job else None,
            "createOptions": said.get("options"),
            "registry": registry,
            "environmentVariables": variables,
            "portMappings": said.get("ports", []),
            "systemMountVolumes": system,
            "userMountVolumes": [user_mount(text) for text in said.get("volumes", [])],
        }

    def inside(self, path: Path | str) -> str:
        """Where the job's container has a path of the agent's."""
        for host, there in ((self.temp / "_github_home", "/github/home"), (self.work, "/__w"), (self.externals, "/__e")):
            if Path(path).is_relative_to(host):
                return str(there / Path(path).relative_to(host))
        return str(path)

    def start(self, command: str, args: dict, response: Path | None = None, state: object = "known") -> subprocess.Popen:
        call = {"command": command, "responseFile": str(response or ""), "args": args, "state": self.state if state == "known" else state}
        return self.start_with(json.dumps(call) + "\n")

    def start_with(self, line: str) -> subprocess.Popen:
        process = subprocess.Popen(
            ["bash", "-e", self.hook],
            cwd=self.workspace,
            env=self.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            user=self.user,
            group=self.user,
            extra_groups=None if self.user is None else [],
        )
        with contextlib.suppress(BrokenPipeError):  # it has ended already
            process.stdin.write(line)
            process.stdin.close()
        process.stdin = None
        return process

    def call(self, command: str, args: dict, state: object = "known") -> Done:
        self.number += 1
        response = self.temp / "_runner_hook_responses" / f"{uuid.uuid4()}.json"
        response.touch()
        if self.user is not None:
            os.chown(response, self.user, self.user)
        process = self.start(command, args, response, state)
        output = process.communicate(timeout=300)[0]
        said = response.read_text()
        response.unlink()
        answer = json.loads(said) if said.strip() else None
        if process.returncode == 0 and answer and answer.get("state") is not None:
            self.state = answer["state"]
        return Done(process.returncode, output, answer)

    def prepare_args(self) -> dict:
        return {
            "container": self.container and self.container_args(self.container, True),
            "services": [self.container_args(service, False) for service in self.services],
        }

    def try_prepare(self) -> Done:
        return self.call("prepare_job", self.prepare_args())

    def prepare(self) -> Done:
        done = self.try_prepare()
        assert done.status == 0, done
        # What the agent needs of an answer.
        assert isinstance(done.answer["isAlpine"], bool)
        services = done.answer["context"]["services"]
        assert len(services) == len(self.services) and all(service["ports"] is not None for service in services)
        return done

    def step_args(self, script: str, prepend: list[str] | None = None, **variables: str) -> dict:
        """A `run:` of the workflow: a file in the agent's folder, and a command line that was split at each blank."""
        file = self.temp / f"{uuid.uuid4()}.sh"
        file.write_text(script + "\n")
        file.chmod(0o644)
        if self.user is not None:
            os.chown(file, self.user, self.user)
        return {
            "entryPointArgs": f"-e {self.inside(file)}".split(" "),
            "entryPoint": "sh",
            "environmentVariables": {"GITHUB_WORKSPACE": "/__w/project/project", "CI": "true", **variables},
            "prependPath": prepend or [],
            "workingDirectory": self.inside(self.workspace),
        }

    def run(self, script: str, prepend: list[str] | None = None, **variables: str) -> Done:
        return self.call("run_script_step", self.step_args(script, prepend, **variables))

    def action_args(self, image: str | None, arguments: list[str], dockerfile: Path | None = None, entrypoint: str | None = None) -> dict:
        """An action that runs in a container of its own."""
        there = {
            self.temp / "_github_home": "/github/home",
            self.temp / "_github_workflow": "/github/workflow",
            self.temp / "_runner_file_commands": "/github/file_commands",
            self.workspace: "/github/workspace",
        }
        line = "".join(' "{}"'.format(argument.replace('"', '\\"')) for argument in arguments)
        return {
            "image": image,
            "dockerfile": dockerfile and str(dockerfile),
            "entryPointArgs": [word for word in line.split(" ") if word],
            "entryPoint": entrypoint,
            "workingDirectory": "/github/workspace",
            "createOptions": None,
            "registry": None,
            "environmentVariables": {"HOME": "/github/home", "GITHUB_ACTIONS": "true", "CI": "true", "INPUT_WHO": "you"},
            "portMappings": [],
            "systemMountVolumes": [mount(DOCKER_SOCKET, DOCKER_SOCKET), *(mount(str(host), target) for host, target in there.items())],
            "userMountVolumes": [],
        }

    def action(self, image: str | None, *arguments: str, state: object = "known", **more) -> Done:
        return self.call("run_container_step", self.action_args(image, list(arguments), **more), state)

    def cleanup(self, state: object = "known") -> Done:
        return self.call("cleanup_job", {}, state)
