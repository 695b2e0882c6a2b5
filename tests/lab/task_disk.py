"""`--task-disk` with Docker on XFS: a job fills its container's disk, and not the host's."""

from lab.calls import Calls
from lab.context import IMAGE, Lab
from lab.guest import Guest

SETTINGS = "/etc/default/dstack-shim"
# A loop device on a file without blocks. XFS starts at 300 MB; Docker needs room for its images.
FILE, SIZE = "/docker.xfs", "20G"
MIB = 1 << 20
WRITE = "dd if=/dev/zero of=/big bs=1M count=2000"


def task_disk(lab: Lab) -> None:
    with lab.guest() as guest:
        lab.install(guest)
        with lab.check("on ext4 the shim does not start, and says what Docker has"):
            guest.run(f"echo DSTACK_SHIM_TASK_DISK=1G >> {SETTINGS}")
            guest.run("systemctl stop dstack-shim")
            done = guest.run("dstack-shim --task-disk 1G", check=False)
            assert done.returncode != 0 and '--task-disk cannot be used: Docker\'s storage driver is overlay2 on "extfs"' in done.stderr, done
        with lab.check("on XFS without quotas a task fails with Docker's message"):
            move_docker(guest, "loop")
            guest.run("systemctl start dstack-shim")
            calls = Calls(guest)
            calls.submit("no-quota")
            info = calls.wait_for("no-quota", "terminated")
            assert info["termination_reason"] == "creating_container_error" and "pquota" in info["termination_message"], info
            calls.end("no-quota")
        with lab.check("a job that writes more than the limit gets ENOSPC") as notes:
            move_docker(guest, "loop,pquota")
            guest.run("systemctl restart dstack-shim")
            calls = Calls(guest)
            shown = guest.run(
                f"dstack-shim run --image {IMAGE} --name full -- sh -c '{WRITE}; echo $?; stat -c %s /big; df -m / | tail -n 1'", check=False
            ).stdout
            lines = shown.splitlines()
            assert "No space left on device" in shown and "1" in lines, shown
            written = next(int(line) for line in lines if line.isdigit() and int(line) > MIB)
            notes.append(f"{written // MIB} MiB written")
            assert 900 * MIB < written <= 1024 * MIB, shown
            assert lines[-1].split()[1] == "1024", shown
        with lab.check("the task's end frees its space, and the next job runs"):
            guest.run("dstack-shim rm full")
            done = guest.run(f"dstack-shim run --image {IMAGE} --rm -- sh -c 'dd if=/dev/zero of=/big bs=1M count=500 && echo whole'", check=False)
            assert done.returncode == 0 and "whole" in done.stdout, done
            assert int(guest.text("df -m --output=used /var/lib/docker | tail -n 1")) < 900


def move_docker(guest: Guest, options: str) -> None:
    """Gives Docker an XFS of its own, with nothing in it but the image of jobs."""
    guest.run(
        f"systemctl stop dstack-shim docker.socket docker; umount /var/lib/docker 2>/dev/null; rm -f {FILE}; truncate -s {SIZE} {FILE} && mkfs.xfs -q {FILE} && "
        f"mount -o {options} {FILE} /var/lib/docker && systemctl start docker"
    )
    guest.run(f"docker import --change 'ENV PATH=/bin' /opt/lab/busybox.tar {IMAGE}")
