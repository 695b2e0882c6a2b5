"""An AWS account of the test's own (moto) beside a dstack server, and a machine that boots as an instance of it."""

import json
import sys
from pathlib import Path

import yaml
from support.dstack_server import Server, TOKEN
from support.joined_host import FAST, RELEASE
from support.machine import Machine
from support.machine_network import connect
from support.processes import SHIM, wait_until
from support.releases import make_release, upload_from

FOLDER = Path(__file__).with_name("aws")
SERVER_ADDRESS = "10.77.0.1"
AWS = f"http://{SERVER_ADDRESS}:8200"
CATALOGUE = f"http://{SERVER_ADDRESS}:8300"
REGION = "us-west-2"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIATESTOFMOTO000000", "AWS_SECRET_ACCESS_KEY": "the/secret+access/key", "AWS_REGION": REGION}
BUCKET = "releases"
# What the server of this release asks EC2 for, by name and owner.
IMAGES = [
    ("ami-0d57ac0000000001", "dstack-0.14", "142421590066"),
    ("ami-0d57ac0000000002", "Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 22.04) 20261101", "898082745236"),
]


def image_of(ami: str, name: str, owner: str) -> dict:
    return {
        "ami_id": ami,
        "name": name,
        "owner_id": owner,
        "description": name,
        "virtualization_type": "hvm",
        "architecture": "x86_64",
        "state": "available",
        "public": True,
        "creation_date": "2026-11-01T00:00:00.000Z",
        "platform": None,
        "image_type": "machine",
        "hypervisor": "xen",
        "image_location": f"{owner}/{ami}",
        "root_device_name": "/dev/sda1",
        "root_device_type": "ebs",
        "sriov": "simple",
    }


class Cloud:
    """moto with EC2, STS and S3, the catalogue of offers, and our binaries in S3, on the server's machine."""

    def __init__(self, machine: Machine, folder: Path):
        self.machine = machine
        self.folder = folder
        machine.run("ip", "address", "add", f"{SERVER_ADDRESS}/32", "dev", "lo")
        images = folder / "images.json"
        images.write_text(json.dumps([image_of(*image) for image in IMAGES]))
        settings = {"MOTO_AMIS_PATH": str(images), "MOTO_EC2_LOAD_DEFAULT_AMIS": "false"}
        moto = [sys.executable, FOLDER / "moto_main.py", "-H", SERVER_ADDRESS, "-p", "8200"]
        self.moto = machine.start(*moto, log=folder / "moto.log", environment=settings)
        offers = [sys.executable, FOLDER / "catalogue.py", SERVER_ADDRESS, "8300"]
        self.catalogue = machine.start(*offers, log=folder / "catalogue.log")

        def answers() -> bool:
            assert self.moto.process.poll() is None, self.moto.log()
            return machine.run("curl", "-sf", AWS, check=False).returncode == 0

        wait_until(answers, "moto", 60, pause=0.3)
        self.ec2("prepare")

    def ec2(self, command: str) -> str:
        return self.machine.run(sys.executable, FOLDER / "ec2.py", command, REGION, environment={"AWS_ENDPOINT_URL": AWS}).stdout

    def instances(self, *states: str) -> list[dict]:
        """Those in one of these states (default: in any), the oldest first."""
        found = [each for each in json.loads(self.ec2("instances")) if not states or each["state"] in states]
        return sorted(found, key=lambda each: each["launched"])

    def running(self) -> list[dict]:
        return self.instances("pending", "running")

    def upload(self) -> None:
        """Our binaries, where the instances find them."""
        self.machine.run("curl", "-sf", "-X", "PUT", "-H", "x-amz-acl: public-read", f"{AWS}/{BUCKET}")
        where = {"DSTACK_SHIM_UPLOAD_S3_BUCKET": BUCKET, "DSTACK_SHIM_UPLOAD_VERSION": RELEASE, "AWS_ENDPOINT_URL": AWS}
        release = make_release(self.folder / "release", sums=False)
        upload_from(self.machine, release, {**KEYS, **where})

    def server(self, **more: str) -> Server:
        downloads = f"{AWS}/{BUCKET}/{{version}}/binaries"
        return Server(
            self.machine,
            RELEASE,
            self.folder,
            fast=FAST,
            support="aws",
            DSTACK_SHIM_DOWNLOAD_URL=f"{downloads}/dstack-shim-linux-{{arch}}",
            DSTACK_RUNNER_DOWNLOAD_URL=f"{downloads}/dstack-runner-linux-{{arch}}",
            DSTACK_DEFAULT_CREDS_DISABLED="1",
            DSTACK_UPDATE_DEFAULT_PROJECT="1",
            DO_NOT_TRACK="1",
            GPUHUNT_CATALOG_URL=CATALOGUE,
            AWS_ENDPOINT_URL=AWS,
            AWS_EC2_METADATA_DISABLED="true",
            **more,
        )

    def shim(self, *arguments: str, check: bool = True, token: str = TOKEN, limit: float = 240, **more):
        """A command of ours as a person types it on the server's machine."""
        environment = {"HOME": "/root", "DSTACK_TOKEN": token, **more.pop("environment", {})}
        done = self.machine.run(SHIM, *arguments, check=False, environment=environment, timeout=limit, **{"stdin": None, **more})
        if check and done.returncode != 0:
            raise AssertionError(f"dstack-shim {arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def configure(self):
        return self.shim("aws", "configure", "--from-env", environment=KEYS)

    def rule(self, **wanted) -> dict:
        """The rule with these values, as info has it."""
        rules = json.loads(self.shim("autoscale", "info", "--json").stdout)["rules"]
        return next(rule for rule in rules if all(rule[key] == value for key, value in wanted.items()))

    def __enter__(self) -> "Cloud":
        return self

    def __exit__(self, *_):
        self.catalogue.kill()
        self.moto.kill()


class Instance:
    """A machine that boots with an instance's address and user data, as its image's cloud-init would."""

    # Not on the machines of tests, and not what is tested.
    STAND_INS = ("ufw", "chcon")

    def __init__(self, machine: Machine, cloud: Cloud, folder: Path):
        self.machine = machine
        self.folder = folder
        self.cloud = cloud
        self.device = connect(cloud.machine, machine)
        for name in self.STAND_INS:
            machine.write(f"/usr/local/bin/{name}", "#!/bin/sh\nexit 0\n", 0o755)
        machine.run("sh", "-c", "useradd -m -s /bin/sh -p '*' ubuntu && ssh-keygen -A")

    def boot(self, instance: dict) -> None:
        configuration = yaml.safe_load(instance["user_data"])
        assert instance["user_data"].startswith("#cloud-config"), instance["user_data"][:50]
        self.machine.run("ip", "address", "add", f"{instance['address']}/24", "dev", self.device)
        self.cloud.machine.run("ip", "route", "add", f"{instance['address']}/32", "dev", self.device, "src", SERVER_ADDRESS)
        keys = "".join(f"{key}\n" for key in configuration["ssh_authorized_keys"])
        self.machine.write("/home/ubuntu/.ssh/authorized_keys", keys, 0o600)
        self.machine.run("chown", "-R", "ubuntu:ubuntu", "/home/ubuntu/.ssh")
        self.machine.start("/usr/sbin/sshd", "-D", "-e", "-o", "UsePAM=no", log=self.folder / "sshd.log")
        for number, command in enumerate(configuration["runcmd"]):
            log = self.folder / f"runcmd-{number}.log"
            ended = self.machine.start(*command, log=log, environment={"HOME": "/root"}).wait(120)
            assert ended == 0, log.read_text()
