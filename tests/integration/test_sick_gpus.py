"""GPUs that are not well are set aside: no task gets them."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import requests
from support.hosts import on_a_host_with_nvidia_nodes, stand_in_runner
from support.person import Client
from support.processes import ROOT, SHIM, Shim, wait_until
from support.shim_calls import Calls

FIRST = "GPU-2b79666e-d81f-f3f8-fd47-9903f118c3f5"
SECOND = "GPU-7c1f2d0a-5b1e-4f7e-9c0d-2f6f5a1b3c4d"
XID = "3,{number},5140900,-;NVRM: Xid (PCI:0000:3b:00): {xid}, pid='<unknown>', name=<unknown>, what it means"


@pytest.fixture
def tool(tmp_path):
    """Stands in for nvidia-smi; what it says of the GPUs' health, heat and processes is in files."""
    folder = tmp_path / "tools"
    folder.mkdir()
    (folder / "health").write_text(f"{FIRST}, 00000000:3B:00.0, 0\n{SECOND}, 00000000:5E:00.0, 0\n")
    (folder / "heat").write_text(f"{FIRST}, Not Active, Not Active\n{SECOND}, Not Active, Not Active\n")
    (folder / "processes").touch()
    (folder / "nvidia-smi").write_text(f"""#!/bin/sh
case "$*" in
*ecc.errors*) cat {folder}/health ;;
*thermal_slowdown*) cat {folder}/heat ;;
*compute-apps*) cat {folder}/processes ;;
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
    path = f"{tool}:{os.environ['PATH']}"
    return lambda **environment: Shim(home, runner=runner, binary=binary, environment={"PATH": path, **environment})


@pytest.fixture
def dcgm(tmp_path):
    """The variables with which a shim finds a libdcgm that is a stand-in. While there is a file log.lost in the folder of
    FAKE_DCGM_LOG, the second GPU is lost."""
    folder = tmp_path / "dcgm"
    folder.mkdir()
    source = ROOT / "tests/support/fake_dcgm.cpp"
    options = ["-std=c++20", "-O1", "-shared", "-fPIC", "-fno-exceptions", "-nostdlib++", "-DFAKE_DCGM_MAJOR=4"]
    subprocess.run(["clang++-19", *options, "-o", folder / "libdcgm.so.4", source], check=True)
    return {
        "LD_LIBRARY_PATH": str(folder),
        "FAKE_DCGM_LOG": str(folder / "log"),
        "FAKE_DCGM_FIRST": FIRST,
        "FAKE_DCGM_SECOND": SECOND,
    }


def metric(shim: Shim, name: str) -> float | None:
    lines = requests.get(f"{shim.url}/metrics", timeout=30).text.splitlines()
    return next((float(line.split()[1]) for line in lines if line.startswith(name)), None)


def sick(shim: Shim) -> int:
    return int(metric(shim, 'dstack_shim_gpus{vendor="nvidia",state="sick"}') or 0)


def doctor(shim: Shim, tool, program=SHIM) -> dict[str, dict]:
    command = [program, "doctor", "--json", "--shim-http-port", str(shim.port)]
    found = subprocess.run(command, capture_output=True, env={**os.environ, "PATH": f"{tool}:{os.environ['PATH']}"})
    return {check["name"]: check for check in json.loads(found.stdout)["checks"]}


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
        check = doctor(shim, home)["sick-gpus"]
        assert check["verdict"] == "warning" and FIRST in check["found"]
        assert shim.stop() == 0
    with start() as shim:
        calls = Calls(shim.wait_ready())
        wait_until(lambda: sick(shim) == 1, "the GPU that was set aside before")
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


def test_a_gpu_that_dcgm_alone_reports_as_lost_is_set_aside(start, image, dcgm):
    with start(**dcgm) as shim:
        calls = Calls(shim.wait_ready())

        def ask_dcgm() -> bool:
            return calls.get("/api/instance/health").json()["dcgm"] is not None

        wait_until(ask_dcgm, "an answer of DCGM")
        assert sick(shim) == 0
        Path(dcgm["FAKE_DCGM_LOG"] + ".lost").touch()
        wait_until(lambda: ask_dcgm() and sick(shim) == 1, "a sick GPU")
        [gpu] = calls.get("/api/instance/health").json()["sick_gpus"]
        assert (gpu["id"], gpu["reason"]) == (SECOND, "lost: DCGM says so")
        for _ in range(3):
            assert gpus_of_a_task(calls, image) == [FIRST]
        # A person may know better. It is not set aside again before DCGM has found it well.
        Client(shim.port, image).text("gpu", "ok", SECOND)
        assert ask_dcgm()
        assert sick(shim) == 0


def heat(tool, *slowed: str) -> None:
    rows = [f"{gpu}, {'Active' if gpu in slowed else 'Not Active'}, Not Active\n" for gpu in (FIRST, SECOND)]
    (tool / "heat").write_text("".join(rows))


def test_heat_and_memory_outside_of_containers_are_shown_and_keep_no_task_from_a_gpu(start, image, tool):
    heat(tool, SECOND)
    (tool / "processes").write_text(f"{FIRST}, {os.getpid()}, 512\n")
    with start() as shim:
        calls = Calls(shim.wait_ready())
        wait_until(lambda: metric(shim, "dstack_shim_gpus_slowed_by_heat") == 1, "a GPU that is slowed down by heat")
        assert f'GPU "{SECOND}" is too hot: the driver slows it down' in shim.log()
        assert f'GPU "{FIRST}": process {os.getpid()} (' in shim.log()
        assert metric(shim, "dstack_shim_gpu_outside_processes") == 1
        assert metric(shim, "dstack_shim_gpu_outside_memory_bytes") == 512 << 20
        assert metric(shim, "dstack_shim_gpu_driver_mismatch") == 0
        checks = doctor(shim, tool)
        assert checks["gpu-heat"]["verdict"] == "warning" and SECOND in checks["gpu-heat"]["found"]
        assert checks["gpu-memory"]["verdict"] == "warning"
        assert f"512 MiB of {FIRST}: process {os.getpid()} " in checks["gpu-memory"]["found"]
        assert checks["sick-gpus"]["verdict"] == "ok" and sick(shim) == 0
        assert gpus_of_a_task(calls, image) == [FIRST]


@pytest.mark.long
def test_what_changes_while_the_shim_runs_is_seen_within_a_minute(start, tmp_path, tool):
    """nvidia-smi is asked once a minute; the unit tests have the same with a clock of their own."""
    with start() as shim:
        shim.wait_ready()
        heat(tool, FIRST)
        (tool / "processes").write_text(f"{FIRST}, {os.getpid()}, 512\n")
        wait_until(lambda: metric(shim, "dstack_shim_gpus_slowed_by_heat") == 1, "a hot GPU", limit=90, pause=1)
        wait_until(lambda: metric(shim, "dstack_shim_gpu_outside_processes") == 1, "a process")
        assert doctor(shim, tool)["gpu-heat"]["verdict"] == "warning"
        (tool / "nvidia-smi").write_text("#!/bin/sh\necho Failed to initialize NVML: Driver/library version mismatch\nexit 18\n")
        wait_until(lambda: metric(shim, "dstack_shim_gpu_driver_mismatch") == 1, "an upgraded driver", limit=90, pause=1)
        wait_until(lambda: "the NVIDIA driver was upgraded and the host not restarted since" in shim.log(), "a line in the log")
        gpu = doctor(shim, tool, tmp_path / "shim-with-nvidia-nodes")["gpu"]
        assert gpu["verdict"] == "broken" and "the NVIDIA driver was upgraded" in gpu["found"]
