"""The unit that install.sh writes, under a real systemd."""

import json
import subprocess

import pytest
from support.machine import Machine
from support.processes import ROOT, wait_until
from support.releases import make_release

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]
DROP_IN = "/etc/systemd/system/dstack-shim.service.d/test.conf"


@pytest.fixture(scope="module")
def host(tmp_path_factory, image):
    folder = tmp_path_factory.mktemp("systemd")
    release = make_release(folder / "release")
    with Machine(folder / "machine", image, systemd=True) as machine:
        machine.run("sh", ROOT / "scripts/install.sh", "--from", release)
        yield machine


@pytest.fixture
def disk(tmp_path) -> str:
    """A loop device with a file system."""
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    device = subprocess.run(["losetup", "--find", "--show", image], check=True, capture_output=True, text=True).stdout.strip()
    yield device
    subprocess.run(["losetup", "--detach", device], check=True)


def shown(host: Machine, name: str) -> str:
    return host.run("systemctl", "show", "dstack-shim", "--value", "-p", name).stdout.strip()


def call(host: Machine, path: str, **body) -> dict:
    sent = ["-H", "Content-Type: application/json", "-d", json.dumps(body)] if body else []
    answer = host.run("curl", "-sf", *sent, f"http://127.0.0.1:10998/api/{path}").stdout
    return json.loads(answer) if answer.strip() else {}


def restart_with(host: Machine, *directives: str) -> None:
    host.write(DROP_IN, "\n".join(["[Service]", *directives, ""]))
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "restart", "dstack-shim")


def volume_reaches_the_container(host: Machine, image: str, device: str) -> bool:
    volume = {"backend": "aws", "name": "data", "volume_id": "vol-none", "device_name": device, "init_fs": False}
    config = {"id": "task", "name": "volume", "image_name": image, "network_mode": "bridge", "volumes": [volume]}
    call(host, "tasks", **config, volume_mounts=[{"name": "data", "path": "/data"}])

    def started():
        found = call(host, "tasks/task")
        return found["status"] in ("running", "terminated") and found

    task = wait_until(started, "the task's start", 60, pause=0.1)
    assert task["status"] == "running", task
    mounts = host.run("docker", "exec", task["container_id"], "cat", "/proc/mounts").stdout
    call(host, "tasks/task/terminate", termination_reason="", termination_message="", timeout=0)
    host.run("curl", "-sf", "-X", "POST", "http://127.0.0.1:10998/api/tasks/task/remove")
    return f"{device} /data ext4" in mounts


def test_the_service_starts_says_what_it_does_and_logs_with_priorities(host):
    assert shown(host, "ActiveState") == "active"
    assert shown(host, "StatusText") == "Listens on 127.0.0.1:10998"
    lines = host.run("journalctl", "-u", "dstack-shim", "-o", "json", "--no-pager").stdout.splitlines()
    said = [(line["PRIORITY"], line["MESSAGE"]) for line in map(json.loads, lines) if line.get("_COMM") == "dstack-shim"]
    assert ("6", "dstack-shim listens on 127.0.0.1:10998") in said
    # What the unit closes is not what it needs to look callers up.
    means = "cgroup" if host.run("findmnt", "--types", "cgroup2", check=False).returncode == 0 else "process"
    assert any(message.startswith(f"Checking API callers by socket {means}") for _, message in said), said


def test_the_service_is_root_with_roots_home_and_may_take_on_other_users_ids(host):
    """What systemd 255 and later do with User=root can only be seen there; see test_install.py for the unit's text."""
    pid = shown(host, "MainPID")
    status = host.run("cat", f"/proc/{pid}/status").stdout.splitlines()
    permitted = next(int(line.split()[1], 16) for line in status if line.startswith("CapPrm:"))
    setgid, setuid, sys_admin = 6, 7, 21
    assert all(permitted >> capability & 1 for capability in (setgid, setuid, sys_admin)), hex(permitted)
    assert "HOME=/root" in host.run("cat", f"/proc/{pid}/environ").stdout.split("\0")
    assert host.run("test", "-e", "/root/.dstack/shim.log", check=False).returncode == 0


def test_a_volume_reaches_the_container_under_all_directives_of_the_unit(host, image, disk):
    host.run("rm", "-f", DROP_IN)
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "restart", "dstack-shim")
    assert shown(host, "NoNewPrivileges") == "yes"
    assert volume_reaches_the_container(host, image, disk)
    assert host.run("findmnt", disk, check=False).stdout == ""


@pytest.mark.parametrize(
    "directive",
    [
        *["ProtectSystem=yes", "PrivateTmp=yes", "PrivateMounts=yes", "ProtectKernelTunables=yes"],
        *["ProtectKernelModules=yes", "ProtectKernelLogs=yes", "ProtectControlGroups=yes", "ProtectProc=invisible"],
    ],
)
def test_a_directive_that_the_unit_leaves_out_would_hide_volumes(host, image, disk, directive):
    restart_with(host, directive)
    assert not volume_reaches_the_container(host, image, disk)


def test_a_shim_that_hangs_is_killed_and_started_again(host):
    restart_with(host, "WatchdogSec=2")
    before = shown(host, "MainPID")
    host.run("systemctl", "kill", "--signal=STOP", "--kill-whom=main", "dstack-shim")
    wait_until(lambda: shown(host, "MainPID") not in ("0", before) and shown(host, "ActiveState") == "active", "another shim", 60, pause=0.2)
    assert call(host, "healthcheck")["service"] == "dstack-shim"


def test_it_is_uninstalled(host):
    host.run("rm", "-rf", DROP_IN.rpartition("/")[0])
    host.run("sh", ROOT / "scripts/install.sh", "--uninstall")
    assert host.run("systemctl", "is-active", "dstack-shim", check=False).stdout.strip() == "inactive"
    assert host.run("test", "-e", "/usr/local/bin/dstack-shim", check=False).returncode == 1
