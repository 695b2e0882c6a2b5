"""Images of tasks that bring no login are pulled with root's, if the host allows it: a real registry with a password."""

import base64
import json
import os

import pytest
from support.hosts import stand_in_runner
from support.processes import Shim
from support.registries import closed_image, closed_registry  # noqa: F401
from support.shim_calls import Calls


@pytest.fixture
def docker_config(tmp_path):
    """A folder for Docker's config.json, and one for helpers that comes first on PATH."""
    folder, programs = tmp_path / "docker-config", tmp_path / "programs"
    folder.mkdir()
    programs.mkdir()

    def configure(**content) -> None:
        (folder / "config.json").write_text(json.dumps(content))

    def helper(name: str, script: str) -> None:
        program = programs / f"docker-credential-{name}"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    configure.helper = helper
    configure.environment = {"DOCKER_CONFIG": str(folder), "PATH": f"{programs}:{os.environ['PATH']}"}
    return configure


@pytest.fixture
def start(home, tmp_path, docker_config):
    runner = stand_in_runner(tmp_path / "sleeping", "exec sleep 1000")
    return lambda *flags, **environment: Shim(home, *flags, runner=runner, environment=docker_config.environment | environment)


def auth(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def assert_refused(info: dict) -> None:
    assert info["termination_reason"] == "creating_container_error", info
    assert "no basic auth credentials" in info["termination_message"] or "unauthorized" in info["termination_message"]


def test_logins_of_the_host_are_not_used_unless_it_allows_it(start, docker_config, closed_image, closed_registry):  # noqa: F811
    address, user, password = closed_registry
    docker_config(auths={address: auth(user, password)})
    with start() as shim:
        assert_refused(Calls(shim.wait_ready()).run(closed_image))


def test_a_login_in_docker_s_configuration_is_used_and_kept_nowhere(start, home, docker_config, closed_image, closed_registry):  # noqa: F811
    address, user, password = closed_registry
    docker_config(auths={})
    with start(DSTACK_SHIM_HOST_CREDENTIALS="1") as shim:
        calls = Calls(shim.wait_ready())
        assert_refused(calls.run(closed_image))
        # A login that is added later counts for the next pull. A task's own wins, also a wrong one.
        docker_config(auths={f"http://{address}/v1/": auth(user, password)})
        assert_refused(calls.run(closed_image, registry_username=user, registry_password="not the one"))
        info = calls.run(closed_image)
        assert info["status"] == "running", info
        assert f"Pulling {closed_image} with the host's login to {address}" in shim.log()
        for text in (password, auth(user, password)["auth"]):
            assert text not in shim.log()
            assert not any(text.encode() in path.read_bytes() for path in home.rglob("*") if path.is_file())


def test_a_credential_helper_is_asked_for_its_registry(start, docker_config, closed_image, closed_registry, tmp_path):  # noqa: F811
    address, user, password = closed_registry
    docker_config(credHelpers={address: "stand-in"})
    with start("--host-credentials", "--shim-log-level", "trace") as shim:
        calls = Calls(shim.wait_ready())
        info = calls.run(closed_image)
        assert_refused(info)
        assert "docker-credential-stand-in" in info["termination_message"]
        answer = json.dumps({"ServerURL": address, "Username": user, "Secret": password})
        docker_config.helper("stand-in", f"""[ "$1" = get ] && [ "$(cat)" = {address} ] || exit 1\nprintf %s '{answer}'""")
        info = calls.run(closed_image)
        assert info["status"] == "running", info
        assert password not in shim.log()
