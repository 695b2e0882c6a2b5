"""GPUs that are not well are set aside: no task gets them."""

import json
import os
import subprocess

import pytest
import requests
from support.hosts import on_a_host_with_nvidia_nodes, stand_in_runner
from support.person import Client
from support.processes import SHIM, Shim, wait_until
from support.shim_calls import Calls

FIRST = "GPU-2b79666e-d81f-f3f8-fd47-9903f118c3f5"
SECOND = "GPU-7c1f2d0a-5b1e-4f7e-9c0d-2f6f5a1b3c4d"
XID = "3,{number},5140900,-;NVRM: Xid (PCI:0000:3b:00): {xid}, pid='<unknown>', name=<unknown>, what it means"


@pytest.fixture
def tool(tmp_path):
    """Stands in for nvidia-smi; what it says of the GPUs' health is in a file."""
    folder = tmp_path / "tools"
    folder.mkdir()
    (folder / "health").write_text(f"{FIRST}, 00000000:3B:00.0, 0\n{SECOND}, 00000000:5E:00.0, 0\n")
    (folder / "nvidia-smi").write_text(f"""#!/bin/sh
case "$*" in
*ecc.errors*) cat {folder}/health ;;
*) echo 'NVIDIA L4, 23034, {FIRST}, 550.54.15'; echo 'NVIDIA L4, 23034, {SECOND}, 550.54.15' ;;
esac
""")
    (folder / "nvidia-smi").chmod(0o755)
    return folder


@pytest.fixture
def kernel_log(tmp_path):
    log = tmp_path / "kmsg"
    log.touch()
    return log


@pytest.fixture
def start(home, tmp_path, tool, kernel_log):
    """Starts a shim on a host with two GPUs and a kernel log of the test's own."""
    runner = stand_in_runner(tmp_path / "runner", "exec sleep 1000")
    binary = on_a_host_with_nvidia_nodes(tmp_path, f"ln -s {kernel_log} {tmp_path}/dev/kmsg")
    return lambda: Shim(home, runner=runner, binary=binary, environment={"PATH": f"{tool}:{os.environ['PATH']}"})


def sick(shim: Shim) -> int:
    lines = requests.get(f"{shim.url}/metrics", timeout=30).text.splitlines()
    return int(float(next((line.split()[1] for line in lines if 'state="sick"' in line), "0")))


def gpus_of_a_task(calls: Calls, image: str) -> list[str]:
    """The engine here has no such GPU; which one it was asked for is what counts."""
    task = calls.submit(image, gpu=1)
    ids = calls.wait_for(task, "terminated", "running")["gpus_ids"]
    calls.terminate(task)
    assert calls.remove(task).status_code == 200
    return ids


def test_a_gpu_that_falls_ill_is_handed_out_to_none_of_the_next_hundred_tasks(start, home, image, kernel_log):
    with start() as shim:
        calls = Calls(shim.wait_ready())
        assert gpus_of_a_task(calls, image) == [FIRST]
        # A job's own fault, and what a program wrote, change nothing.
        with kernel_log.open("a") as log:
            log.write(XID.format(number=1, xid=31) + "\n")
            log.write("12" + XID.format(number=2, xid=79)[1:] + "\n")
            log.write(XID.format(number=3, xid=79) + "\n")
        wait_until(lambda: sick(shim) == 1, "a sick GPU")
        for _ in range(100):
            assert gpus_of_a_task(calls, image) == [SECOND]
        health = calls.get("/api/instance/health").json()
        assert [(gpu["id"], gpu["reason"]) for gpu in health["sick_gpus"]] == [(FIRST, "Xid 79 (fallen off the bus)")]
        client = Client(shim.port, image)
        assert FIRST in client("ps").stderr.decode()
        found = subprocess.run([SHIM, "doctor", "--json", "--shim-http-port", str(shim.port)], capture_output=True)
        check = next(check for check in json.loads(found.stdout)["checks"] if check["name"] == "sick-gpus")
        assert check["verdict"] == "warning" and FIRST in check["found"]
        assert shim.stop() == 0
    with start() as shim:
        calls = Calls(shim.wait_ready())
        assert sick(shim) == 1
        assert gpus_of_a_task(calls, image) == [SECOND]
        client = Client(shim.port, image)
        client.text("gpu", "ok", FIRST)
        assert gpus_of_a_task(calls, image) == [FIRST]
        assert "sick_gpus" not in calls.get("/api/instance/health").json()
        again = client("gpu", "ok", FIRST)
        assert again.returncode == 1 and b"not set aside" in again.stderr
        assert shim.stop() == 0


def test_a_tool_that_reports_memory_errors_sets_the_gpu_aside(start, image, tool):
    (tool / "health").write_text(f"{FIRST}, 00000000:3B:00.0, 0\n{SECOND}, 00000000:5E:00.0, 4\n")
    with start() as shim:
        calls = Calls(shim.wait_ready())
        wait_until(lambda: sick(shim) == 1, "a sick GPU")
        assert calls.get("/api/instance/health").json()["sick_gpus"][0]["reason"] == "4 uncorrected memory errors (ECC)"
        task = calls.submit(image, gpu=2)
        info = calls.wait_for(task, "terminated")
        assert info["termination_reason"] == "executor_error"
        assert "1 set aside" in info["termination_message"]
