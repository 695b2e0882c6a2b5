"""Other programs are replaced by these while jobs run, and put back."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from support import jobs as server_jobs
from support.releases import as_version

from lab.calls import Calls
from lab.context import Lab, complete_release
from lab.guest import Guest
from lab.jobs import follow

EARLIER = "0.22.4"
# What the Go linker leaves in each program.
GO_MARK = b"\xff Go buildinf:"
# A job that goes on until it is let go.
PATIENT = "echo started; until [ -e /tmp/runner/go ]; do sleep 1; done; echo went on; exit 4"
# As a server writes it to a host that it takes into a fleet.
SERVERS_UNIT = """[Unit]
Description=dstack-shim
After=network-online.target
[Service]
Type=simple
User=root
Restart=always
RestartSec=3
WorkingDirectory=/root/.dstack
EnvironmentFile=/root/.dstack/shim.env
ExecStart=/usr/local/bin/dstack-shim
[Install]
WantedBy=multi-user.target
"""
SERVERS_SETTINGS = """DSTACK_SHIM_HOME="/root/.dstack"
DSTACK_RUNNER_BINARY_PATH="/usr/local/bin/dstack-runner"
DSTACK_SERVICE_MODE="1"
"""


@dataclass(frozen=True)
class Earlier:
    folder: Path
    version: str
    is_go: bool


def upgrade(lab: Lab) -> None:
    """Upgrade and downgrade with running jobs, from and to what --earlier names (else the same programs with another version)."""
    earlier = take_earlier(lab)
    with lab.guest() as guest:
        with lab.check(f"{'the Go programs' if earlier.is_go else 'earlier programs'} are installed ({earlier.version})"):
            install_earlier(lab, guest, earlier)
            calls = Calls(guest)
            assert version(calls) == earlier.version
        with lab.check("jobs run in both networks"):
            started = {network: start(calls, network, network) for network in ("bridge", "host")}
        with lab.check("install.sh upgrades, and the tasks are the same"):
            lab.install(guest)
            calls.reconnect()
            assert version(calls) == "latest"
            same(calls, started)
        with lab.check("the job in the bridge network goes on to its end"):
            finish(guest, calls, "bridge", started)
        with lab.check("a job of the new version runs"):
            started["newer"] = start(calls, "newer", "bridge")
        with lab.check("install.sh --revert goes back, and the tasks are the same"):
            guest.run("sh /root/release/install.sh --revert")
            calls.reconnect()
            assert version(calls) == earlier.version
            same(calls, {task: started[task] for task in ("host", "newer")})
        for task, which in (("host", "the job in the host network"), ("newer", "the newer version's job")):
            with lab.check(f"{which} goes on to its end"):
                finish(guest, calls, task, started)
        with lab.check("the service restarts by itself after a crash, with a task running"):
            info = calls.run("survivor", network_mode="bridge")
            guest.run("systemctl kill --signal=KILL dstack-shim")
            calls.reconnect()
            same(calls, {"survivor": info})
            calls.end("survivor")
        with lab.check("nothing is left of the tasks"):
            assert guest.text("docker ps -aq") == ""
            assert guest.text("ls -A /root/.dstack/tasks /root/.dstack/runners | grep -v :$ || true") == ""


def take_earlier(lab: Lab) -> Earlier:
    """A release's folder of the earlier programs, with a version that tells them from the build's."""
    folder = lab.folder / "earlier"
    folder.mkdir()
    is_go = any(GO_MARK in binary.read_bytes() for binary in lab.earlier)
    for binary in lab.earlier:
        target = folder / binary.name
        if is_go:
            target.write_bytes(binary.read_bytes())
            target.chmod(0o755)
        else:
            as_version(binary, EARLIER, target)
    complete_release(folder)
    said = subprocess.run([folder / lab.earlier[0].name, "--version"], capture_output=True, text=True).stdout.split()
    return Earlier(folder, said[-1], is_go)


def install_earlier(lab: Lab, guest: Guest, earlier: Earlier) -> None:
    """Ours by install.sh; the Go programs as a server does."""
    if not earlier.is_go:
        lab.install(guest, earlier.folder)
        return
    guest.copy(earlier.folder, "/root/earlier")
    for binary in lab.earlier:
        guest.run(f"install -m 755 /root/earlier/{binary.name} /usr/local/bin/{binary.name.split('-linux-')[0]}")
    guest.run("mkdir -p /root/.dstack && cat > /root/.dstack/shim.env", input=SERVERS_SETTINGS)
    guest.run("cat > /etc/systemd/system/dstack-shim.service", input=SERVERS_UNIT)
    guest.run("systemctl daemon-reload && systemctl --quiet enable dstack-shim && systemctl restart dstack-shim")


def version(calls: Calls) -> str:
    return calls.get("/api/healthcheck").json()["version"]


def start(calls: Calls, task: str, network: str) -> dict:
    runner = calls.runner(calls.run(task, network_mode=network))
    server_jobs.submit(runner, ["/bin/sh", "-c", PATIENT])
    runner.run_job()
    return calls.info(task)


def same(calls: Calls, started: dict[str, dict]) -> None:
    for task, before in started.items():
        after = calls.info(task)
        for field in ("status", "container_id", "container_name", "ports"):
            assert after[field] == before[field], (before, after)


def finish(guest: Guest, calls: Calls, task: str, started: dict[str, dict]) -> None:
    guest.run(f"docker exec {started[task]['container_id']} touch /tmp/runner/go")
    output, states = follow(calls.runner(started[task]))
    assert output.split("\n")[:2] == ["started", "went on"], output
    assert states[-1].exit_status == 4, states
    calls.end(task)
