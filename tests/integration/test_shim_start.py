"""Command line, start and end of the shim."""

import json
import os
import signal
import socket
import subprocess
import tempfile

import pytest
import requests
from conftest import containers_of
from support.hosts import on_a_host_with_nvidia_nodes, stand_in_runner
from support.processes import SHIM, Shim, free_port, wait_until
from support.shim_calls import Calls


def run_shim(*arguments, **environment) -> subprocess.CompletedProcess:
    return subprocess.run([SHIM, *arguments], capture_output=True, text=True, timeout=30, env={**os.environ, **environment})


def test_the_version_is_three_words():
    words = run_shim("--version").stdout.split()
    assert words[:2] == ["dstack-shim", "version"] and len(words) == 3


def test_help_names_every_flag_and_variable():
    text = run_shim("--help").stdout
    for name in ("--shim-home", "DSTACK_SHIM_HOME", "--pjrt-device", "PJRT_DEVICE", "--service", "DSTACK_SERVICE_MODE"):
        assert name in text


@pytest.mark.parametrize("name", ["loud", "0", "7"])
def test_an_unknown_level_is_told_by_its_value(name, home):
    for ended in (
        run_shim("--shim-home", home, "--shim-log-level", name),
        run_shim("--shim-home", home, DSTACK_SHIM_LOG_LEVEL=name),
    ):
        assert ended.returncode == 1
        assert name in ended.stderr


@pytest.mark.parametrize("argument", ["nothing", "--nothing"])
def test_a_command_line_that_is_not_understood_is_named_and_1(argument):
    ended = run_shim(argument)
    assert ended.returncode == 1
    assert argument in ended.stderr


def test_an_engine_that_is_not_there_is_one_line_with_its_address(home):
    ended = run_shim("--shim-home", home, DOCKER_HOST="unix:///no/such.sock")
    assert ended.returncode != 0
    complaints = [line for line in ended.stderr.splitlines() if "/no/such.sock" in line]
    assert len(complaints) == 1


def test_a_gpu_tool_that_hangs_keeps_only_gpu_tasks_waiting(home, image, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    tool = tools / "nvidia-smi"
    row = "NVIDIA L4, 23034, GPU-2b79666e-d81f-f3f8-fd47-9903f118c3f5, 550.54.15"
    tool.write_text(f"#!/bin/sh\nuntil [ -e {tmp_path}/go ]; do sleep 0.1; done\necho '{row}'\n")
    tool.chmod(0o755)
    runner = stand_in_runner(tmp_path / "runner", "exec sleep 1000")
    path = {"PATH": f"{tools}:{os.environ['PATH']}"}
    with Shim(home, "--service", runner=runner, binary=on_a_host_with_nvidia_nodes(tmp_path), environment=path) as shim:
        calls = Calls(shim.wait_ready())
        answer = calls.get("/api/instance/info")
        assert (answer.status_code, answer.text) == (503, "the GPUs of this host are still being detected\n")
        assert calls.get("/api/instance/health").json() == {"dcgm": None}
        assert not (home / "host_info.json").exists()
        waiting = calls.submit(image, gpu=1)
        assert calls.run(image)["status"] == "running"
        info = calls.wait_for(waiting, "preparing")
        assert info["gpus_ids"] is None
        given_up = calls.submit(image, gpu=-1)
        calls.wait_for(given_up, "preparing")
        assert calls.terminate(given_up).json()["status"] == "terminated"

        (tmp_path / "go").touch()
        # The engine here has no such GPU; that it was asked for one is what counts.
        info = calls.wait_for(waiting, "terminated", "running")
        assert info["gpus_ids"] == ["GPU-2b79666e-d81f-f3f8-fd47-9903f118c3f5"]
        assert calls.get("/api/instance/info").json() == {"gpu_vendor": "nvidia", "gpu_driver_version": "550.54.15"}
        wait_until((home / "host_info.json").exists, "host_info.json")
        assert json.loads((home / "host_info.json").read_text())["gpu_count"] == 1
        assert shim.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_shim_that_still_starts(home, number):
    # A socket's path must be short, and tmp_path may be long.
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as engine:
        engine.bind(f"{folder}/engine.sock")
        engine.listen()
        with Shim(home, environment={"DOCKER_HOST": f"unix://{folder}/engine.sock"}) as shim:
            # It asks, and nobody answers.
            connection, _ = engine.accept()
            with connection:
                connection.recv(1)
                shim.signal(number)
                assert shim.wait() == 0


def test_why_a_shim_did_not_start_is_in_its_log_too(home):
    run_shim("--shim-home", home, DOCKER_HOST="unix:///no/such.sock")
    assert "/no/such.sock" in (home / "shim.log").read_text()


def test_a_missing_home_is_made_whatever_the_mask(tmp_path):
    home = tmp_path / "not-there-yet"
    mask = os.umask(0o077)
    try:
        with Shim(home) as shim:
            shim.wait_ready().stop()
    finally:
        os.umask(mask)
    assert home.stat().st_mode & 0o777 == 0o755


def test_a_taken_port_is_an_error_with_its_number(home):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = run_shim("--shim-home", home, "--shim-http-port", str(port))
    assert ended.returncode != 0
    assert str(port) in ended.stderr


def test_a_second_shim_in_the_same_home_is_refused(home, shim):
    ended = run_shim("--shim-home", home, "--shim-http-port", str(free_port()))
    assert ended.returncode != 0
    assert str(home) in ended.stderr
    assert requests.get(f"{shim.url}/api/healthcheck", timeout=9).ok


def test_without_a_runner_the_shim_starts_and_a_task_says_so(home, image, tmp_path):
    with Shim(home, runner=tmp_path / "missing") as shim:
        calls = Calls(shim.wait_ready())
        assert str(tmp_path / "missing") in shim.log()
        assert calls.get("/api/components").json()["components"][0]["status"] == "not-installed"
        info = calls.wait_for(calls.submit(image), "terminated")
        assert info["termination_reason"] == "executor_error"
        assert str(tmp_path / "missing") in info["termination_message"]


def test_it_listens_on_the_loopback_interface_alone(shim):
    addresses = subprocess.run(["hostname", "-I"], capture_output=True, text=True).stdout.split()
    for address in addresses:
        with pytest.raises(OSError):
            socket.create_connection((address, shim.port), timeout=5).close()


def test_service_mode_writes_host_info_once(home):
    mask = os.umask(0o077)
    try:
        with Shim(home, "--service") as shim:
            shim.wait_ready()
            assert shim.stop() == 0
    finally:
        os.umask(mask)
    path = home / "host_info.json"
    info = json.loads(path.read_text())
    assert list(sorted(info)) == sorted(["gpu_vendor", "gpu_name", "gpu_memory", "gpu_count", "addresses", "disk_size", "cpus", "memory"])
    assert info["cpus"] == len(os.sched_getaffinity(0))
    assert info["memory"] == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert info["disk_size"] > 0
    assert info["gpu_vendor"] in ("none", "nvidia", "amd", "intel", "tenstorrent")
    assert (info["gpu_vendor"] == "none") == (info["gpu_count"] == 0)
    assert all("/" in address and not address.startswith("127.") for address in info["addresses"])
    assert path.stat().st_mode & 0o777 == 0o644
    path.write_text("kept")
    with Shim(home, environment={"DSTACK_SERVICE_MODE": "1"}) as shim:
        shim.wait_ready()
        shim.stop()
    assert path.read_text() == "kept"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_shim_and_leaves_containers_running(home, image, tmp_path, number):
    runner = stand_in_runner(tmp_path / "runner", "exec sleep 1000")
    with Shim(home, runner=runner) as shim:
        calls = Calls(shim.wait_ready())
        task = calls.run(image)["id"]
        shim.signal(number)
        assert shim.wait() == 0
    assert len(containers_of(home)) == 1
    with Shim(home, runner=runner) as shim:
        calls = Calls(shim.wait_ready())
        assert calls.info(task)["status"] == "running"
        assert calls.terminate(task).status_code == 200


@pytest.mark.parametrize("force", [True, False])
def test_shutdown_answers_and_then_leaves(home, image, tmp_path, force):
    runner = stand_in_runner(tmp_path / "runner", "exec sleep 1000")
    with Shim(home, runner=runner) as shim:
        calls = Calls(shim.wait_ready())
        calls.run(image)
        # A connection that stays open and says nothing.
        with socket.create_connection(("127.0.0.1", shim.port)):
            answer = calls.post("/api/shutdown", force=force)
            assert (answer.status_code, answer.text) == (200, "")
            assert shim.wait() == 0
    assert len(containers_of(home)) == 1


def test_the_log_is_appended_to(home):
    for _ in range(2):
        with Shim(home) as shim:
            shim.wait_ready()
            shim.stop()
    assert (home / "shim.log").read_text().count("listens on") == 2
