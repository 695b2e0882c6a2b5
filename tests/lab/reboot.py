"""The host reboots while jobs run."""

from support import jobs as server_jobs
from support.processes import wait_until
from support.ssh_client import make_key, public

from lab.calls import PATIENCE, Calls
from lab.context import IMAGE, Lab
from lab.guest import Disk, make_disk
from lab.volumes import BLANK, FOLDER, serial, volume

# Interrupted by Ctrl-C, it saves what it has.
SAVING = "trap 'echo saved > /data/saved; exit 0' INT; echo precious > /data/file; echo started; while :; do sleep 0.2; done"
INTERRUPTED = "interrupted_by_no_capacity"


def reboot(lab: Lab) -> None:
    with lab.guest(Disk(make_disk(lab.folder / "volume", 400), serial(BLANK))) as guest:
        lab.install(guest)
        calls = Calls(guest)
        keys = guest.text("cat /home/user/.ssh/authorized_keys")
        with lab.check("a job runs with a volume and a key, and a container that has no job yet"):
            waiting = calls.run("waiting", network_mode="host")
            key = public(make_key(lab.folder / "server-key"))
            info = calls.run("working", **volume("data", BLANK), host_ssh_user="user", host_ssh_keys=[key])
            runner = calls.runner(info)
            server_jobs.submit(runner, ["/bin/sh", "-c", SAVING])
            runner.run_job()
            wait_until(lambda: guest.run(f"test -s {FOLDER}/data/file", check=False).returncode == 0, "the job's first file", PATIENCE, pause=1)
        # Nothing pulls, so the job's end is not read before the host is down.
        with lab.check("the host reboots, and the shim is back"):
            guest.reboot()
            calls.reconnect()
        with lab.check("both tasks have ended, and the reason is the shutdown") as notes:
            for task in ("waiting", "working"):
                info = calls.wait_for(task, "terminated")
                notes.append(f"{task}: {info['termination_reason']}: {info['termination_message']}")
                assert info["termination_reason"] == INTERRUPTED and info["termination_message"], info
        with lab.check("their key is gone, their volume is not mounted, and their containers are still known"):
            assert guest.text("cat /home/user/.ssh/authorized_keys") == keys
            assert guest.run(f"mountpoint -q {FOLDER}/data", check=False).returncode != 0
            assert calls.info("waiting")["container_name"] == waiting["container_name"]
        with lab.check("they are removed with their containers"):
            for task in ("waiting", "working"):
                calls.end(task)
            assert guest.text("docker ps -aq") == ""
        with lab.check("the next task has the volume's data, and what the job saved when the host went down"):
            info = calls.run("next", **volume("data", BLANK))
            assert guest.text(f"docker exec {info['container_id']} cat /data/file /data/saved").split() == ["precious", "saved"]
            calls.end("next")
        with lab.check("a job after the reboot"):
            assert guest.text(f"dstack-shim run --image {IMAGE} --rm -- echo hello") == "hello"
