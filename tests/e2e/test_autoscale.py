"""Machines of an AWS account (moto) come when a run of a real server waits, and are ended when they are idle."""

import json

import pytest
from support.aws_cloud import KEYS, REGION, Cloud, Instance
from support.joined_host import job
from support.machine import Machine
from support.processes import SHIM, wait_until

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def cloud(tmp_path) -> Cloud:
    folder = tmp_path / "cloud"
    with Machine(folder / "machine") as machine, Cloud(machine, folder) as made:
        yield made


@pytest.fixture
def server(cloud):
    with cloud.server() as made:
        yield made


@pytest.fixture
def instance(cloud, image, tmp_path) -> Instance:
    """A machine that waits to be started as one of AWS's."""
    folder = tmp_path / "instance"
    with Machine(folder / "machine", image) as machine:
        yield Instance(machine, cloud, folder)


def run_on(image: str, name: str, *commands: str, **more) -> dict:
    return {**job(image, name, *commands), **more}


def launched(cloud: Cloud, count: int = 1) -> list[dict]:
    """The instances, once there are so many."""
    return wait_until(lambda: len(found := cloud.running()) >= count and found, f"{count} instances", 120, pause=1)


def test_a_machine_comes_when_a_run_waits_and_is_gone_when_it_is_idle(cloud, server, instance, image):
    cloud.upload()
    configured = cloud.configure()
    assert configured.stdout == f"AWS is configured for project main: {REGION}\n"
    assert json.loads(cloud.shim("aws", "show", "--json").stdout) == {"regions": [REGION], "access_key": "AKIA"}
    allowed = cloud.shim("autoscale", "allow", "c5.large", "--max", "1", "--on-demand", "--idle", "10s")
    assert allowed.stdout == f"c5.large on-demand: at most 1, from $0.085 an hour in {REGION}\n"
    assert cloud.shim("autoscale", "allow", "c5.large", "-m", "1", "-d").stdout == "c5.large on-demand: unchanged\n"
    assert cloud.instances() == []

    server.apply(run_on(image, "first", "echo it ran in the cloud"))
    (made,) = launched(cloud)
    assert (made["type"], made["spot"]) == ("c5.large", False)
    instance.boot(made)
    end = server.wait_end("first")
    assert (end["status"], end["exit_status"]) == ("done", 0), end
    assert "it ran in the cloud" in server.logs("first")
    assert instance.machine.run("cmp", "/usr/local/bin/dstack-shim", SHIM).returncode == 0

    wait_until(lambda: cloud.running() == [], "the instance's end", 120, pause=1)
    assert len(cloud.instances()) == 1
    wait_until(lambda: cloud.rule(fleet="auto-c5-large-od")["active"] == 0, "the end of the machine in info", 60, pause=0.5)
    assert cloud.shim("autoscale", "remove", "c5.large").stdout == "c5.large on-demand is removed\n"
    assert server.call("project/main/fleets/list") == []
    said = cloud.shim("aws", "remove")
    assert said.stdout == "AWS is removed from project main\n"
    for text in (configured.stdout + configured.stderr, allowed.stdout + allowed.stderr, said.stdout + said.stderr):
        assert KEYS["AWS_SECRET_ACCESS_KEY"] not in text and KEYS["AWS_ACCESS_KEY_ID"] not in text


@pytest.mark.long
def test_what_aws_or_the_server_refuses_is_said_and_changes_nothing(cloud, server):
    refused = cloud.shim("aws", "configure", "--from-env", check=False, environment={**KEYS, "AWS_ACCESS_KEY_ID": "AKIAWRONG00000000000"})
    assert (refused.returncode, refused.stderr) == (77, "dstack-shim: AWS refuses these keys\n")
    refused = cloud.shim("autoscale", "allow", "c5.large", "-m", "1", "-d", check=False)
    assert refused.returncode == 78
    assert "aws configure" in refused.stderr
    assert cloud.shim("aws", "configure", "--from-env", check=False, environment={**KEYS, "AWS_REGION": "nowhere"}).returncode == 65
    unknown = cloud.shim("aws", "configure", "--from-env", check=False, environment={**KEYS, "AWS_REGION": "xx-nowhere-1"})
    assert unknown.returncode == 69, unknown
    assert "is xx-nowhere-1 right?" in unknown.stderr
    assert cloud.shim("aws", "show", check=False).returncode == 78

    keys = f"{KEYS['AWS_SECRET_ACCESS_KEY']}\n"
    typed = ["--access-key-id", KEYS["AWS_ACCESS_KEY_ID"], "--secret-access-key", "-", "--region", REGION]
    cloud.shim("aws", "configure", *typed, input=keys)

    for arguments, words in (
        (["c5.huge", "-d"], ["c5.huge is not an instance type that AWS offers here", "c5.large", "experimental_instance_types"]),
        (["c5.xlarge", "-s"], ["c5.xlarge is offered on demand only"]),
        (["g5.xlarge", "-d"], [f"your AWS quota for g5.xlarge is 0 in {REGION}"]),
        (["m5.large", "-d", "--region", "eu-central-1"], ["m5.large is not an instance type that AWS offers here (regions eu-central-1)"]),
    ):
        done = cloud.shim("autoscale", "allow", "-m", "1", *arguments, check=False)
        assert done.returncode == 65, done
        assert all(word in done.stderr for word in words), done.stderr
    assert server.call("project/main/fleets/list") == []

    # A member who is no admin may make rules, and not see or change the keys.
    server.call("users/create", username="ann", global_role="user")
    token = server.call("users/get_user", username="ann")["creds"]["token"]
    server.call("projects/main/add_members", members=[{"username": "ann", "project_role": "user"}])
    for verb in (["configure", "--from-env"], ["show"], ["remove"]):
        done = cloud.shim("aws", *verb, check=False, token=token, environment=KEYS)
        assert done.returncode == 77, done
        assert "ann may not" in done.stderr and "its admins may: admin" in done.stderr
    cloud.shim("autoscale", "allow", "c5.large", "-m", "1", "-d", token=token)
    assert json.loads(cloud.shim("autoscale", "info", "--json", token=token).stdout)["aws"] == {"configured": True, "regions": [REGION]}
    refused = cloud.shim("aws", "remove", check=False)
    assert refused.returncode == 1
    assert "autoscale remove --all" in refused.stderr

    # The server reads its file as it starts, and deletes what is not in there.
    server.program.kill()
    server.program = server._start()
    assert cloud.rule(fleet="auto-c5-large-od")["state"] == "enabled"
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in server.log.read_text()


@pytest.mark.long
def test_the_maximum_holds_under_ten_runs_and_spot_is_beside_on_demand(cloud, server, image):
    cloud.configure()
    cloud.shim("autoscale", "allow", "c5.large", "-m", "2", "-d")
    cloud.shim("autoscale", "allow", "m5.large", "-m", "1", "-s")
    again = {"on_events": ["no-capacity"], "duration": "10m"}
    server.apply(run_on(image, "on-spot", "echo hello", spot_policy="spot", retry=again))
    for number in range(10):
        server.apply(run_on(image, f"run-{number}", "echo hello", retry=again))

    def placed() -> bool:
        kinds = sorted((each["type"], each["spot"]) for each in cloud.running())
        return kinds == [("c5.large", False), ("c5.large", False), ("m5.large", True)]

    wait_until(placed, "two machines on demand and one of the spot market", 240, pause=1)
    assert cloud.rule(purchase="on-demand")["active"] == 2
    assert cloud.rule(purchase="spot")["active"] == 1

    # No machine ever answers here: all of them have a job, and none has an address at the server.
    refused = cloud.shim("autoscale", "allow", "c5.large", "-m", "1", "-d", check=False)
    assert refused.returncode == 1, refused
    assert "nothing was changed" in refused.stderr
    assert cloud.rule(purchase="on-demand")["max"] == 2
    cloud.shim("autoscale", "allow", "c5.large", "-m", "1", "-d", "--yes")
    wait_until(lambda: sum(not each["spot"] for each in cloud.running()) == 1, "one machine on demand", 120, pause=1)
    cloud.shim("autoscale", "remove", "--all", "--yes")
    wait_until(lambda: cloud.running() == [], "the end of all machines", 120, pause=1)
    assert server.call("project/main/fleets/list") == []


@pytest.mark.long
def test_a_busy_machine_ends_with_consent_only(cloud, server, instance, image):
    cloud.upload()
    cloud.configure()
    cloud.shim("autoscale", "allow", "c5.large", "-m", "1", "-d")
    server.apply(run_on(image, "busy", "echo on", "sleep 1000"))
    (made,) = launched(cloud)
    instance.boot(made)
    server.wait_for("busy", "running")

    refused = cloud.shim("autoscale", "disable", check=False)
    assert refused.returncode == 1
    assert "run busy" in refused.stderr and "nothing was changed" in refused.stderr
    assert cloud.rule(purchase="on-demand")["state"] == "enabled"

    drained = cloud.shim("autoscale", "disable", "--drain")
    assert "(run busy) ends with its job" in drained.stdout
    assert server.run_of("busy")["status"] == "running"
    assert cloud.rule(purchase="on-demand")["state"] == "disabled"

    ended = cloud.shim("autoscale", "disable", "--yes")
    assert "auto-c5-large-od-0 is ended" in ended.stdout
    assert server.run_of("busy")["status"] in ("terminating", "terminated")
    wait_until(lambda: cloud.running() == [], "the instance's end", 120, pause=1)
    assert cloud.shim("autoscale", "disable").stdout == "already disabled\n"
    assert cloud.shim("autoscale", "enable").stdout == "c5.large on-demand is enabled: at most 1\n"
