"""Public images come from a mirror if it has what their own registry has: two real registries."""

import json
import socket
import subprocess

import pytest
from conftest import docker
from support.hosts import stand_in_runner
from support.processes import Shim, free_port, wait_until
from support.registries import layered, layered_image, start_registry  # noqa: F401
from support.shim_calls import Calls


@pytest.fixture
def mirror(tmp_path):
    address = f"127.0.0.1:{free_port()}"
    configuration = tmp_path / "mirror.yml"
    storage = {"filesystem": {"rootdirectory": str(tmp_path / "mirror")}}
    configuration.write_text(json.dumps({"version": "0.1", "storage": storage, "http": {"addr": address}}))
    with start_registry(configuration, address):
        yield address


@pytest.fixture
def running(home, tmp_path, mirror):
    runner = stand_in_runner(tmp_path / "sleeping", "exec sleep 1000")
    with Shim(home, "--registry-mirror", mirror, runner=runner) as shim:
        yield shim.wait_ready()


def at(mirror: str, image: str) -> str:
    return f"{mirror}/{image.split('/', 1)[1]}"


def digest_of(image: str) -> str:
    """In its registry."""
    docker("pull", image)
    digest = docker("image", "inspect", "-f", "{{index .RepoDigests 0}}", image).strip().partition("@")[2]
    docker("rmi", image)
    return digest


def test_an_image_comes_from_the_mirror_and_has_its_own_name(running, home, mirror, layered):  # noqa: F811
    docker("pull", layered)
    docker("tag", layered, at(mirror, layered))
    docker("push", at(mirror, layered))
    docker("rmi", layered, at(mirror, layered))
    digest = digest_of(layered)
    info = Calls(running).run(layered)
    assert info["status"] == "running", info
    assert f"Pulled {layered} from the mirror {mirror}" in running.log()
    assert f"Pulled {layered}: downloading" in running.log()
    assert f"{mirror}/" in (home / "tasks" / info["container_name"] / "pull.log").read_text()
    names = json.loads(docker("image", "inspect", layered))[0]
    assert names["RepoTags"] == [layered]
    assert not any(mirror in name for name in names["RepoDigests"])
    wait_until((home / "images.json").exists, "the list of pulled images")
    [listed] = json.loads((home / "images.json").read_text())["images"]
    assert (listed["reference"], listed["digest"], listed["id"]) == (layered, digest, names["Id"])


def test_another_image_under_the_same_name_is_not_taken_from_the_mirror(running, mirror, image, layered):  # noqa: F811
    other = at(mirror, layered)
    docker("pull", image)
    layered_image(other, image)
    docker("push", other)
    docker("rmi", other)
    info = Calls(running).run(layered)
    assert info["status"] == "running", info
    assert f"since the mirror {mirror} failed" in running.log()
    assert docker("image", "inspect", "-f", "{{.RepoDigests}}", layered).startswith(f"[{layered.rpartition(':')[0]}@sha256:")
    assert subprocess.run(["docker", "image", "inspect", other], capture_output=True).returncode != 0


def test_a_mirror_that_is_away_costs_a_pull_nothing_but_time(home, tmp_path, layered):  # noqa: F811
    away = f"127.0.0.1:{free_port()}"
    runner = stand_in_runner(tmp_path / "sleeping", "exec sleep 1000")
    with Shim(home, runner=runner, environment={"DSTACK_SHIM_REGISTRY_MIRROR": away}) as shim:
        info = Calls(shim.wait_ready()).run(layered)
        assert info["status"] == "running", info
        assert f"since the mirror {away} failed" in shim.log() and "connection refused" in shim.log()


def test_a_limit_of_a_container_s_disk_that_docker_does_not_have_is_refused_at_the_start(home):
    driver, _, file_system = docker("info", "-f", "{{.Driver}} {{json .DriverStatus}}").partition(" ")
    if driver != "overlay2" or '"xfs"' in file_system:
        pytest.skip("this Docker may have it")
    with Shim(home, "--task-disk", "1G") as shim:
        assert shim.wait() == 1
        assert "--task-disk cannot be used: Docker's storage driver is overlay2 on" in shim.log()


def test_the_mirror_s_name_that_a_killed_shim_has_left_is_removed_by_the_next_one(home, tmp_path, mirror, image, layered):  # noqa: F811
    """What a kill between the pull and the removal leaves: the name in the engine, and in the shim's list."""
    docker("pull", layered)
    docker("tag", layered, at(mirror, layered))
    docker("push", at(mirror, layered))
    docker("rmi", layered, at(mirror, layered))
    digest = digest_of(layered)
    left = f"{at(mirror, layered).rpartition(':')[0]}@{digest}"
    # A person's own name at the same mirror, which no list has.
    docker("pull", at(mirror, layered))
    docker("tag", at(mirror, layered), layered)
    home.mkdir(exist_ok=True)
    (home / "mirror-names.json").write_text(json.dumps({"names": [left, at(mirror, layered), image]}))
    runner = stand_in_runner(tmp_path / "sleeping", "exec sleep 1000")
    with Shim(home, "--registry-mirror", mirror, runner=runner) as shim:
        shim.wait_ready()
        wait_until(lambda: json.loads((home / "mirror-names.json").read_text())["names"] == [], "the removal of the name")
        wait_until(lambda: f"Image name {left} was left by a pull from a mirror: removed" in shim.log(), "the line in the log")
    names = json.loads(docker("image", "inspect", layered))[0]
    assert layered in names["RepoTags"]
    assert left not in names["RepoDigests"]
    assert subprocess.run(["docker", "image", "inspect", image], capture_output=True).returncode == 0
    docker("rmi", layered, at(mirror, layered))


def test_a_shim_that_is_killed_while_it_pulls_from_a_mirror_has_written_the_name_down(home, tmp_path, layered):  # noqa: F811
    runner = stand_in_runner(tmp_path / "sleeping", "exec sleep 1000")
    names = home / "mirror-names.json"
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        mirror = f"127.0.0.1:{hanging.getsockname()[1]}"
        with Shim(home, "--registry-mirror", mirror, runner=runner) as shim:
            Calls(shim.wait_ready()).submit(layered)
            connection, _ = hanging.accept()
            assert f"{mirror}/" in names.read_text()
            shim.kill()
        connection.close()
    # The next one has no mirror.
    with Shim(home, runner=runner) as shim:
        shim.wait_ready()
        wait_until(lambda: json.loads(names.read_text())["names"] == [], "the removal of the name")
