"""A host that is about to go down stops its jobs, and only then."""

import json
import os
import time

import pytest
import requests
from support.metadata_server import FIRMWARE, MetadataServer
from support.processes import SHIM, Shim, wait_until
from support.runner_container import submission
from support.shim_calls import Calls

# Says what it gets, and how it was stopped.
JOB = ["/bin/sh", "-c", "trap 'echo saved; exit 3' INT; echo started; while :; do sleep 0.1; done"]
INTERRUPTED = "interrupted_by_no_capacity"


class Host:
    """A shim with firmware, systemd's files and a systemctl of the test's own."""

    def __init__(self, folder, home):
        self.home = home
        self.systemd = folder / "systemd"
        self.firmware = folder / "dmi/id"
        self.state = folder / "state"
        for made in (self.systemd / "shutdown", self.systemd / "system", self.firmware, folder / "tools"):
            made.mkdir(parents=True)
        self.state.write_text("running\n")
        self.systemctl = folder / "tools/systemctl"
        self.systemctl.write_text(f'#!/bin/sh\n[ "$*" = is-system-running ] && cat {self.state}\n')
        self.systemctl.chmod(0o755)
        self.path = f"{folder}/tools:{os.environ['PATH']}"
        self.program = folder / "shim-on-this-host"
        self.program.write_text(f"""#!/bin/sh
exec unshare --mount sh -c '
set -e
mount -t tmpfs class /sys/class
mkdir /sys/class/dmi
cp -a {folder}/dmi/id /sys/class/dmi/id
mkdir -p /run/systemd
mount --bind {self.systemd} /run/systemd
exec {SHIM} "$@"' sh "$@"
""")
        self.program.chmod(0o755)

    def in_cloud(self, cloud: str) -> None:
        for name, content in FIRMWARE[cloud].items():
            (self.firmware / name).write_text(content + "\n")

    def schedule(self, seconds: float, mode: str = "poweroff") -> None:
        made = self.systemd / "shutdown/.scheduled"
        made.write_text(f"USEC={int((time.time() + seconds) * 1e6)}\nWARN_WALL=1\nMODE={mode}\n")
        made.rename(self.systemd / "shutdown/scheduled")

    def call_off(self) -> None:
        (self.systemd / "shutdown/scheduled").unlink()

    def start(self, *arguments, **environment) -> Shim:
        # No proxy is for the metadata service.
        variables = {"PATH": self.path, "http_proxy": "http://127.0.0.1:1", "no_proxy": "", **environment}
        return Shim(self.home, *arguments, binary=self.program, environment=variables)


@pytest.fixture
def host(tmp_path, home) -> Host:
    return Host(tmp_path, home)


class Job:
    """A task with a running job, driven as a server would."""

    def __init__(self, calls: Calls, image: str):
        self.calls = calls
        self.task = calls.submit(image, network_mode="bridge")
        ports = calls.wait_for(self.task, "running")["ports"]
        self.url = f"http://127.0.0.1:{next(port['host'] for port in ports if port['container'] == 10999)}"
        wait_until(self.answers, "the runner")

    def answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/api/healthcheck", timeout=5).ok
        except requests.ConnectionError:
            return False

    def begin(self) -> "Job":
        assert requests.post(f"{self.url}/api/submit", json=submission(JOB), timeout=20).status_code == 200
        assert requests.post(f"{self.url}/api/upload_code", data=b"", timeout=20).status_code == 200
        assert requests.post(f"{self.url}/api/run", timeout=20).status_code == 200
        wait_until(lambda: "started" in self.output(), "the job's first line")
        return self

    def output(self) -> str:
        return self.calls.get(f"/api/tasks/{self.task}/logs").text

    def states(self) -> list[dict]:
        return requests.get(f"{self.url}/api/pull", timeout=20).json()["job_states"]

    def is_running(self) -> bool:
        return self.calls.info(self.task)["status"] == "running" and "saved" not in self.output()

    def await_last_state(self) -> dict:
        """What the runner says, which ends once it was read."""
        wait_until(lambda: "saved" in self.output(), "the job's last line")
        return wait_until(lambda: len(found := self.states()) == 2 and found, "the job's end")[-1]

    def await_stop(self) -> dict:
        """The last state, and the task's end once it was read."""
        state = self.await_last_state()
        self.end = self.calls.wait_for(self.task, "terminated")
        return state


@pytest.mark.parametrize("cloud", ["aws", "azure", "gcp"])
def test_a_notice_of_the_cloud_stops_jobs_and_says_so(host, image, cloud):
    host.in_cloud(cloud)
    with MetadataServer(cloud) as metadata, host.start("--cloud-metadata-url", metadata.url) as shim:
        calls = Calls(shim.wait_ready())
        job = Job(calls, image).begin()
        idle = Job(calls, image)
        wait_until(lambda: len(metadata.asked) > 3, "some questions")
        assert job.is_running()
        metadata.interrupt(110)
        end = job.await_stop()
        assert (end["state"], end["termination_reason"]) == ("terminated", INTERRUPTED)
        name = {"aws": "AWS interrupts this spot instance (terminate)", "azure": "Azure takes this virtual machine back (Preempt)"}
        cause = name.get(cloud, "Google Cloud preempts this instance")
        assert end["termination_message"].startswith("The host goes down in ") and end["termination_message"].endswith(f"s: {cause}")
        assert (job.end["termination_reason"], job.end["termination_message"]) == (INTERRUPTED, end["termination_message"])
        # A runner that has no job yet, and a task that comes now.
        assert calls.wait_for(idle.task, "terminated")["termination_reason"] == INTERRUPTED
        late = calls.submit(image)
        assert calls.wait_for(late, "terminated")["termination_reason"] == INTERRUPTED
        assert f"{cause}: stopping the running jobs" in shim.log()
        assert f" warning {end['termination_message']}\n" in (host.home / "runners" / job.end["container_name"] / "runner.log").read_text()
        assert metadata.refused == []
        if cloud == "aws":
            assert len(metadata.tokens) == 1
        metadata.down_at = None
        wait_until(lambda: "Called off" in shim.log(), "the end of the notice")
        assert calls.run(image)["status"] == "running"


def test_maintenance_of_google_cloud_stops_jobs_where_it_stops_the_machine(host, image):
    host.in_cloud("gcp")
    with MetadataServer("gcp") as metadata, host.start("--cloud-metadata-url", metadata.url) as shim:
        calls = Calls(shim.wait_ready())
        job = Job(calls, image).begin()
        # The machine is moved, and goes on.
        metadata.maintenance = "MIGRATE_ON_HOST_MAINTENANCE"
        asked = len(metadata.asked)
        wait_until(lambda: len(metadata.asked) > asked + 4, "some questions")
        assert job.is_running() and "This host goes down" not in shim.log()
        metadata.maintenance = "TERMINATE_ON_HOST_MAINTENANCE"
        end = job.await_stop()
        assert end["termination_reason"] == INTERRUPTED
        assert end["termination_message"] == "The host goes down in 60 s: Google Cloud stops this instance for maintenance"
        metadata.maintenance = "NONE"
        wait_until(lambda: "Called off: Google Cloud stops this instance for maintenance" in shim.log(), "the end of the notice")
        assert metadata.refused == []


def test_a_restart_by_azure_stops_jobs_two_minutes_ahead(host, image):
    host.in_cloud("azure")
    with MetadataServer("azure") as metadata, host.start("--cloud-metadata-url", metadata.url) as shim:
        calls = Calls(shim.wait_ready())
        job = Job(calls, image).begin()
        metadata.kind = "Reboot"
        metadata.interrupt(900)
        wait_until(lambda: "Azure restarts this virtual machine (Reboot)" in shim.log(), "the notice")
        assert job.is_running()
        metadata.kind = "Redeploy"
        metadata.interrupt(110)
        end = job.await_stop()
        assert end["termination_reason"] == INTERRUPTED
        assert end["termination_message"].endswith(" s: Azure restarts this virtual machine (Redeploy)")


def test_a_recommendation_of_aws_stops_no_job_and_an_instance_that_is_stopped_counts_as_taken_back(host, image):
    host.in_cloud("aws")
    with MetadataServer("aws") as metadata, host.start("--cloud-metadata-url", metadata.url) as shim:
        calls = Calls(shim.wait_ready())
        job = Job(calls, image).begin()
        metadata.rebalance = True
        asked = len(metadata.asked)
        wait_until(lambda: len(metadata.asked) > asked + 2, "some questions")
        assert job.is_running() and "This host goes down" not in shim.log()
        metadata.action = "stop"
        metadata.interrupt(110)
        end = job.await_stop()
        assert end["termination_message"].endswith(" s: AWS interrupts this spot instance (stop)")


def test_a_service_that_hangs_holds_nothing_up(host, image):
    host.in_cloud("aws")
    with MetadataServer("aws") as metadata:
        metadata.hang = True
        with host.start("--cloud-metadata-url", metadata.url) as shim:
            calls = Calls(shim.wait_ready())
            wait_until(lambda: "Cannot ask the cloud's metadata service" in shim.log(), "the warning")
            job = Job(calls, image).begin()
            wait_until(lambda: len(metadata.asked) > 2, "another question")
            assert job.is_running()
            host.schedule(60)
            assert job.await_stop()["termination_reason"] == INTERRUPTED
            assert shim.log().count("Cannot ask the cloud's metadata service") == 1
            assert shim.stop() == 0


def test_only_the_cloud_that_the_firmware_names_is_asked(host, image):
    with MetadataServer("aws") as metadata:
        with host.start("--cloud-metadata-url", metadata.url) as shim:
            assert Calls(shim.wait_ready()).run(image)["status"] == "running"
            assert shim.stop() == 0
        host.in_cloud("azure")
        (host.firmware / "chassis_asset_tag").write_text("a machine under Hyper-V in somebody's cellar\n")
        with host.start("--cloud-metadata-url", metadata.url) as shim:
            shim.wait_ready()
            assert shim.stop() == 0
        host.in_cloud("aws")
        with host.start("--cloud-metadata-url", "none") as shim:
            shim.wait_ready()
            assert shim.stop() == 0
        assert metadata.asked == []


def test_a_scheduled_shutdown_stops_jobs_two_minutes_ahead_and_not_before(host, image):
    with host.start() as shim:
        calls = Calls(shim.wait_ready())
        job = Job(calls, image).begin()
        host.schedule(60, "dry-poweroff")
        host.schedule(3600)
        wait_until(lambda: "This host goes down at" in shim.log(), "the scheduled shutdown")
        host.call_off()
        wait_until(lambda: "Called off: a shutdown is scheduled" in shim.log(), "the end of the notice")
        assert job.is_running()
        host.schedule(60, "reboot")
        end = job.await_stop()
        assert end["termination_reason"] == INTERRUPTED
        assert end["termination_message"].endswith('a shutdown is scheduled ("reboot")')


def test_a_restart_of_the_service_stops_no_job_and_a_shutdown_of_the_host_does(host, image):
    with host.start() as shim:
        calls = Calls(shim.wait_ready())
        job = Job(calls, image).begin()
        assert shim.stop() == 0
    with host.start() as shim:
        job.calls = Calls(shim.wait_ready())
        assert job.is_running()
        host.state.write_text("stopping\n")
        shim.signal(15)
        # The shim exits when the job has ended: the next one says what became of the task.
        end = job.await_last_state()
        assert (end["termination_reason"], end["termination_message"]) == (INTERRUPTED, "The host shuts down")
        assert shim.wait() == 0
    with host.start() as shim:
        assert Calls(shim.wait_ready()).wait_for(job.task, "terminated")["termination_reason"] == INTERRUPTED


def test_a_shutdown_is_the_reason_when_nothing_reads_the_jobs_end(host, image):
    with host.start() as shim:
        job = Job(Calls(shim.wait_ready()), image).begin()
        host.state.write_text("stopping\n")
        shim.signal(15)
        assert shim.wait(60) == 0
    with host.start() as shim:
        info = Calls(shim.wait_ready()).wait_for(job.task, "terminated")
        assert (info["status"], info["termination_reason"], info["termination_message"]) == ("terminated", INTERRUPTED, "The host shuts down")


def test_a_systemctl_that_takes_its_time_is_waited_for(host, image):
    # As on a slow host, where systemd is busy with the shutdown.
    host.systemctl.write_text(host.systemctl.read_text().replace("&& cat", "&& sleep 4 && cat"))
    with host.start() as shim:
        job = Job(Calls(shim.wait_ready()), image).begin()
        host.state.write_text("stopping\n")
        shim.signal(15)
        assert job.await_last_state()["termination_reason"] == INTERRUPTED
        assert shim.wait() == 0


def test_the_launcher_of_a_ci_learns_of_it_and_stops_its_job_itself(host, image, tmp_path):
    work = tmp_path / "work"
    owner = work / "state/owner"
    owner.parent.mkdir(parents=True)
    (work / "launcher.json").write_text("{}")
    owner.touch()
    held = {"process": "hold", "owner": str(owner)}
    with owner.open("w") as lock, host.start() as shim:
        os.lockf(lock.fileno(), os.F_LOCK, 0)
        calls = Calls(shim.wait_ready())
        task = calls.submit(image, network_mode="bridge", local=True, container=held)
        plain = calls.submit(image, network_mode="bridge", local=True, container={"process": "image", "command": ["sleep", "1000"]})
        for started in (task, plain):
            calls.wait_for(started, "running")
        host.schedule(60)
        wait_until((work / "going-away").exists, "the launcher's file")
        # What has no launcher is ended.
        assert calls.wait_for(plain, "terminated")["termination_reason"] == INTERRUPTED
        assert calls.info(task)["status"] == "running"
        assert json.loads((work / "launcher.json").read_text()) == {}
