"""The lives of tasks: each is submitted, ends in a way that a seed chose, and is removed, as a server would do all that."""

import random
import threading
import time
import uuid
from dataclasses import dataclass, field

import requests
from soak.host import GPUS, Host
from support.runner_container import submission

GIVES_UP = 150  # seconds that a life may wait for one thing
TERMINATES_AFTER = 45  # seconds in which a container did not start
REASONS = ("executor_error", "creating_container_error", "container_exited_with_error", "done_by_runner", "aborted_by_user")

# Each way to end, how often, and the reasons that it has on a host without faults.
WAYS = {
    "exit 0": (20, ("done_by_runner",)),
    "exit 7": (15, ("done_by_runner",)),
    "stopped": (8, ("done_by_runner",)),
    "killed": (12, ("container_exited_with_error",)),
    "out of memory": (6, ("done_by_runner", "container_exited_with_error")),
    "image absent": (6, ("creating_container_error",)),
    "too many GPUs": (4, ("executor_error",)),
    "terminated": (25, ("aborted_by_user",)),
    "removed from Docker": (4, ("container_exited_with_error",)),
}


class Violation(Exception):
    """The shim broke a promise."""


@dataclass
class Plan:
    """All that is chosen for one task, from the seed alone."""

    number: int
    way: str
    terminate_after: float
    config: dict = field(default_factory=dict)
    words: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return ", ".join([self.way, *self.words])


def plan(seed: int, number: int, host: Host) -> Plan:
    choose = random.Random(f"{seed}/task/{number}")
    way = choose.choices(list(WAYS), [weight for weight, _ in WAYS.values()])[0]
    made = Plan(number, way, terminate_after=choose.choice((0, choose.uniform(0, 0.5), choose.uniform(0, 3))))
    network = "host" if choose.random() < 0.25 else "bridge"
    tag = "no-such-tag" if way == "image absent" else choose.choice(("1", "latest"))
    made.config = {
        "id": str(uuid.UUID(int=choose.getrandbits(128))),
        "name": f"soak-{number}",
        "image_name": host.image(tag),
        "network_mode": network,
    }
    made.words = [network, tag]
    if way == "out of memory":
        made.config["memory"] = 64 << 20
    gpus = len(GPUS) + 1 if way == "too many GPUs" else choose.choice((0, 0, 0, 0, 1))
    if gpus:
        made.config["gpu"] = gpus
        made.words.append(f"{gpus} GPU")
    if choose.random() < 0.3:
        number = choose.randrange(len(host.volumes))
        volume = {"backend": "aws", "name": f"soak-{number}", "volume_id": f"vol-{number}", "init_fs": True, "device_name": host.volumes[number]}
        made.config |= {"volumes": [volume], "volume_mounts": [{"name": f"soak-{number}", "path": "/volume"}]}
        made.words.append(f"volume {number}")
    if choose.random() < 0.2:
        made.config["instance_mounts"] = [{"instance_path": f"{host.folder}/instance/{number % 3}", "path": "/instance"}]
        made.words.append("instance mount")
    if choose.random() < 0.4:
        key = choose.choice(("shared", f"own-{number}"))
        made.config |= {"host_ssh_user": host.user.name, "host_ssh_keys": [f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI {key}"]}
        made.words.append(f"key {key}")
    return made


# Host-network runners share two ports.
host_network = threading.Lock()


class Life:
    def __init__(self, host: Host, plan: Plan):
        self.host = host
        self.plan = plan
        self.id = plan.config["id"]

    def live(self, calm: bool) -> str:
        """Its ending, in words. Throws Violation."""
        if self.plan.config["network_mode"] == "host":
            with host_network:
                return self.whole(calm)
        return self.whole(calm)

    def whole(self, calm: bool) -> str:
        began = time.monotonic()
        if refusal := self.submit():
            if calm:
                raise Violation(f"submit was refused: {refusal}")
            return f"refused: {refusal}"
        detail = self.reach_the_end()
        info = self.end()
        reason, message = info["termination_reason"], info["termination_message"]
        if reason not in REASONS or not (message or reason in ("done_by_runner", "aborted_by_user")):
            raise Violation(f"ended without a reason: {info}")
        # GPUs are a matter of luck where other tasks have them.
        usual = WAYS[self.plan.way][1] + (("executor_error",) if self.plan.config.get("gpu") else ())
        if calm and reason not in usual and not (self.plan.way == "terminated"):
            raise Violation(f"ended as {reason}: {message}")
        self.remove()
        ending = f"{reason} {message.splitlines()[0] if message else ''}".strip()
        return f"{ending}{detail} in {time.monotonic() - began:.1f} s"

    def call(self, method: str, path: str, body: dict | None = None) -> requests.Response:
        """Again while the shim is being restarted."""
        deadline = time.monotonic() + GIVES_UP
        while True:
            try:
                # A connection of its own: one that broke under a kill would stay open in a session's pool.
                return requests.request(method, self.host.shim.url + path, json=body, timeout=60, headers={"Connection": "close"})
            except requests.RequestException as error:
                if time.monotonic() > deadline:
                    raise Violation(f"{method} {path}: no answer: {error}") from error
                time.sleep(0.1)

    def submit(self) -> str | None:
        """Why it was refused."""
        answer = self.call("POST", "/api/tasks", self.plan.config)
        # 409: an answer was lost with a shim that was killed.
        if answer.status_code in (200, 409):
            return None
        if answer.status_code != 500:
            raise Violation(f"submit: {answer.status_code} {answer.text}")
        return answer.text.strip()

    def info(self) -> dict:
        answer = self.call("GET", f"/api/tasks/{self.id}")
        if answer.status_code != 200:
            raise Violation(f"the task is lost: {answer.status_code} {answer.text}")
        return answer.json()

    def wait_for(self, statuses: tuple, seconds: float) -> dict | None:
        deadline = time.monotonic() + seconds
        while (info := self.info())["status"] not in statuses:
            if time.monotonic() > deadline:
                return None
            time.sleep(0.05)
        return info

    def reach_the_end(self) -> str:
        """Until it has ended or is to be terminated. What its job said, for the ending's line."""
        if self.plan.way == "terminated":
            time.sleep(self.plan.terminate_after)
            return f" (after {self.plan.terminate_after:.1f} s)"
        info = self.wait_for(("running", "terminated"), TERMINATES_AFTER)
        if info is None or info["status"] == "terminated":
            return ""
        if self.plan.way == "killed":
            self.host.engine.call("kill", info["container_name"], check=False)
            job = ""
        elif self.plan.way == "removed from Docker":
            self.host.engine.call("rm", "--force", info["container_name"], check=False)
            job = ""
        else:
            job = self.run_job(info)
        self.wait_for(("terminated",), TERMINATES_AFTER)
        return job

    def run_job(self, info: dict) -> str:
        command = {"exit 7": "exit 7", "stopped": "sleep 1000", "out of memory": "x=0123456789; while :; do x=$x$x; done"}.get(
            self.plan.way, "exit 0"
        )
        port = next((each["host"] for each in info["ports"] if each["container"] == self.host.runner_port), self.host.runner_port)
        url = f"http://127.0.0.1:{port}/api"
        end = time.monotonic() + TERMINATES_AFTER
        try:
            with requests.Session() as runner:
                self.wait_for_runner(runner, url, end)
                runner.post(f"{url}/submit", json=submission(["/bin/sh", "-c", f"echo output; {command}"]), timeout=9).raise_for_status()
                runner.post(f"{url}/run", timeout=9).raise_for_status()
                if self.plan.way == "stopped":
                    runner.post(f"{url}/stop", timeout=9).raise_for_status()
                states, timestamp, more = [], 0, True
                while more and time.monotonic() < end:
                    page = runner.get(f"{url}/pull?timestamp={timestamp}", timeout=9).json()
                    states += page["job_states"]
                    timestamp, more = page["last_updated"], page["has_more"]
                    time.sleep(0.05)
            return f" (job {states[-1]['state']} {states[-1].get('exit_status')})" if states else ""
        except requests.RequestException as error:
            return f" (the runner is gone: {type(error).__name__})"

    def wait_for_runner(self, runner: requests.Session, url: str, end: float) -> None:
        while True:
            try:
                if runner.get(f"{url}/healthcheck", timeout=9).ok:
                    return
            except requests.RequestException:
                if time.monotonic() > end:
                    raise
            time.sleep(0.05)

    def repeat(self, what: str, body: dict | None, good: tuple) -> requests.Response:
        """A 500 says that it is tried again."""
        deadline = time.monotonic() + GIVES_UP
        while True:
            answer = self.call("POST", f"/api/tasks/{self.id}/{what}", body)
            if answer.status_code in good:
                return answer
            if answer.status_code != 500 or time.monotonic() > deadline:
                raise Violation(f"{what}: {answer.status_code} {answer.text}")
            time.sleep(0.5)

    def end(self) -> dict:
        body = {"termination_reason": "aborted_by_user", "termination_message": "", "timeout": 0}
        info = self.repeat("terminate", body, (200,)).json()
        if info["status"] != "terminated":
            raise Violation(f"terminate answered {info}")
        return info

    def remove(self) -> None:
        # 404: an answer was lost with a shim that was killed.
        self.repeat("remove", None, (200, 404))
