"""Images are removed when Docker's disk is nearly full: a real dockerd on a disk of its own."""

import json
import os
import subprocess

import pytest
import requests
from conftest import docker
from support.own_engine import OwnEngine
from support.person import Client
from support.processes import SHIM, Shim, wait_until

MIB = 1 << 20
# Of what makes each image another one: it cannot be compressed.
SIZE = 60 * MIB


@pytest.fixture(scope="module")
def registry_images(registry, image, tmp_path_factory) -> list[str]:
    """Images in the registry that only have busybox in common."""
    names = []
    for number in range(5):
        name = f"{registry}/gc-{number}:1"
        content = tmp_path_factory.mktemp("content") / "content"
        content.write_bytes(os.urandom(SIZE))
        container = docker("create", image, "true").strip()
        docker("cp", str(content), f"{container}:/content")
        docker("commit", container, name)
        docker("rm", container)
        docker("push", name)
        docker("rmi", name)
        names.append(name)
    return names


@pytest.fixture
def small_engine(tmp_path, image):
    """A dockerd whose images are on a disk of 3 GiB, all of which is for everybody."""
    disk = tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(3 << 30)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", disk], check=True)
    engine = OwnEngine(tmp_path)
    data = engine.folder / "data"
    data.mkdir()
    subprocess.run(["mount", "-o", "loop", disk, data], check=True)
    with engine:
        yield engine


def free(engine: OwnEngine) -> int:
    status = os.statvfs(engine.folder / "data")
    return status.f_bavail * status.f_frsize


def ids(engine: OwnEngine) -> dict[str, str]:
    lines = engine.call("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").stdout.splitlines()
    return dict(line.split() for line in lines)


class Host:
    def __init__(self, shim: Shim, home, environment: dict[str, str]):
        self.shim = shim
        self.home = home
        self.environment = environment
        self.client = Client(shim.port)

    def run(self, image: str, name: str, *options) -> subprocess.CompletedProcess:
        command = self.client.command("run", "--image", image, "--name", name, *options, "--", "sleep", "1000" if "-d" in options else "0")
        return subprocess.run(command, capture_output=True, timeout=150, env=self.environment)

    def removed(self) -> int:
        text = requests.get(f"{self.shim.url}/metrics", timeout=30).text
        return int(float(next(line.split()[1] for line in text.splitlines() if line.startswith("dstack_shim_images_removed_total "))))

    def doctor(self) -> str:
        found = subprocess.run([SHIM, "doctor", "--json", "--shim-home", self.home], capture_output=True, env=self.environment)
        return next(check["found"] for check in json.loads(found.stdout)["checks"] if check["name"] == "images")


def test_images_that_nothing_needs_make_room_and_foreign_ones_stay(small_engine, registry_images, home, image):
    foreign, held, *others = registry_images
    small_engine.call("pull", foreign)
    small_engine.call("tag", foreign, "another-name:1")
    before = ids(small_engine)
    start = (free(small_engine) - 4 * SIZE) // MIB
    flags = ["--image-gc-start", f"{start}M", "--image-gc-stop", f"{start + SIZE // MIB}M", "--image-gc-min-age", "0s"]
    environment = {**os.environ, "DOCKER_HOST": small_engine.host}
    with Shim(home, *flags, environment=environment) as shim:
        host = Host(shim.wait_ready(), home, environment)
        # Pulled by the shim as well, since it asks for the newest.
        assert host.run(foreign, "uses-foreign", "--rm").returncode == 0
        assert host.run(held, "holder", "-d").returncode == 0
        for number, name in enumerate(others):
            ended = host.run(name, f"job-{number}", "--rm")
            assert ended.returncode == 0, (ended.stderr, shim.log())
        wait_until(lambda: host.removed() >= 2, "the removal of two images", 100)
        left = ids(small_engine)
        assert {name: left.get(name) for name in before} == before
        # The least recently used first, but none that a container has.
        assert held in left and others[0] not in left and others[-1] in left
        assert others[0] in host.doctor()
        assert f'Removed image "{others[0]}"' in shim.log()
        assert host.removed() == len(registry_images) + 1 - len([name for name in left if name.startswith(tuple(registry_images))]) - 1
        listed = {entry["reference"] for entry in json.loads((home / "images.json").read_text())["images"]}
        assert held in listed and foreign not in listed and others[0] not in listed
        host.client.text("rm", "--force", "holder")


def test_nothing_is_removed_where_that_is_turned_off(small_engine, registry_images, home):
    environment = {**os.environ, "DOCKER_HOST": small_engine.host}
    with Shim(home, "--image-gc-start", "0", "--image-gc-min-age", "0s", environment=environment) as shim:
        host = Host(shim.wait_ready(), home, environment)
        first, second = registry_images[:2]
        assert host.run(first, "first", "--rm").returncode == 0
        # Too little for the second, which is on the disk twice while it is unpacked.
        subprocess.run(["fallocate", "-l", str(free(small_engine) - SIZE * 3 // 2), small_engine.folder / "data/filler"], check=True)
        ended = host.run(second, "second", "--rm")
        assert ended.returncode == 125 and b"no space left" in ended.stderr
        assert first in ids(small_engine)
        assert host.removed() == 0


def test_a_pull_that_fails_for_space_is_tried_again_with_more_room(small_engine, registry_images, home):
    environment = {**os.environ, "DOCKER_HOST": small_engine.host}
    # Only a full disk makes it remove anything.
    with Shim(home, "--image-gc-start", "1M", "--image-gc-stop", "1M", "--image-gc-min-age", "0s", environment=environment) as shim:
        host = Host(shim.wait_ready(), home, environment)
        first, second = registry_images[:2]
        assert host.run(first, "first", "--rm").returncode == 0
        subprocess.run(["fallocate", "-l", str(free(small_engine) - SIZE * 3 // 2), small_engine.folder / "data/filler"], check=True)
        ended = host.run(second, "second", "--rm")
        assert ended.returncode == 0, (ended.stderr, shim.log())
        assert first not in ids(small_engine) and second in ids(small_engine)
        assert host.removed() == 1
