"""The Debian package: install, upgrade with a running task, remove, and install.sh after it."""

from lab.calls import Calls
from lab.context import IMAGE, Lab
from lab.upgrade import same


def package(lab: Lab) -> None:
    with lab.guest() as guest:
        with lab.check("the package installs and starts the service"):
            guest.copy(lab.package(), "/root/dstack-shim.deb")
            guest.run("dpkg -i /root/dstack-shim.deb")
            calls = Calls(guest)
        with lab.check("a job's output and exit status"):
            done = guest.run(f"dstack-shim run --image {IMAGE} --rm -- sh -c 'echo hello; exit 3'", check=False)
            assert (done.returncode, done.stdout) == (3, "hello\n"), done
        with lab.check("install.sh refuses to install beside it"):
            guest.copy(lab.release(), "/root/release")
            done = guest.run("sh /root/release/install.sh --from /root/release", check=False)
            assert done.returncode == 1 and "belongs to the dstack-shim package" in done.stderr, done
        with lab.check("an upgrade of the package keeps a running task"):
            info = calls.run("kept", network_mode="bridge")
            before = guest.text("pidof dstack-shim")
            guest.run("dpkg -i /root/dstack-shim.deb")
            guest.run("systemctl restart dstack-shim")
            calls.reconnect()
            assert guest.text("pidof dstack-shim") != before
            same(calls, {"kept": info})
        with lab.check("removing the package ends the service and leaves the task's container"):
            guest.run("dpkg --remove dstack-shim")
            assert guest.run("systemctl is-active dstack-shim", check=False).returncode != 0
            assert guest.text("docker ps -q --no-trunc") == info["container_id"]
        with lab.check("install.sh takes over, and the task is the same"):
            guest.run("dpkg --purge dstack-shim")
            lab.install(guest)
            calls.reconnect()
            same(calls, {"kept": info})
            calls.end("kept")
