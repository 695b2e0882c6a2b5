"""A real dstack server takes the guest into an SSH fleet, as an ordinary user with sudo, and runs tasks there."""

from support.dstack_server import Server
from support.joined_host import RELEASE, job, serve_binaries, start_server
from support.machine import Machine
from support.processes import wait_until

from lab.context import IMAGE, Lab
from lab.guest import Guest

LIMIT = 1200
# An emulated host needs more than 3 s for a login.
PATIENT = {"DSTACK_SERVER_SSH_CONNECT_TIMEOUT": "60"}


def fleet(lab: Lab) -> None:
    # The server writes to its home and listens on fixed ports, so it has a file system and a network of its own, which the guest shares.
    with Machine(lab.folder / "server") as machine, lab.guest(inside=machine.inside) as guest:
        guest.backward(8100)
        # The version is the server's release: the server would replace any other with its own release at once.
        with serve_binaries(machine, lab.folder, version=RELEASE), start_server(machine, lab.folder, **PATIENT) as server:
            with lab.check("a server installs the programs and takes the host into a fleet") as notes:
                take_in(server, guest)
                assert guest.text("/usr/local/bin/dstack-shim --version") == f"dstack-shim version {RELEASE}"
                assert guest.text("systemctl is-active dstack-shim") == "active"
                resources = server.instance("ours")["instance_type"]["resources"]
                assert resources["cpus"] == int(guest.text("nproc")), resources
                notes.append(f"server {RELEASE}, {resources['cpus']} CPUs, {resources['memory_mib']} MiB")
            with lab.check("a run's output and exit status reach the server"):
                server.apply(job(IMAGE, "hello", "echo hello from $DSTACK_RUN_NAME", "exit 3"))
                server.wait_for("hello", "failed", limit=LIMIT)
                end = server.job_of("hello")
                assert (end["termination_reason"], end["exit_status"]) == ("container_exited_with_error", 3), end
                assert server.logs("hello").splitlines()[-1] == "hello from hello"
            with lab.check("a run is stopped, and its container is removed"):
                server.apply(job(IMAGE, "endless", "echo started; while :; do sleep 1; done"))
                server.wait_for("endless", "running", limit=LIMIT)
                server.cli("stop", "-y", "endless")
                server.wait_for("endless", "terminated", limit=LIMIT)
                wait_until(lambda: guest.text("docker ps -aq") == "", "the container's removal", LIMIT, pause=2)
            with lab.check("a run goes on when the shim is killed and started again"):
                server.wait_idle("ours", LIMIT)
                server.apply(job(IMAGE, "survivor", "echo started; until [ -e /tmp/go ]; do sleep 1; done; echo went on"))
                server.wait_for("survivor", "running", limit=LIMIT)
                before = shim(guest)
                guest.run("systemctl kill --signal=KILL dstack-shim")
                wait_until(lambda: shim(guest) not in ("0", before), "the shim's next start", LIMIT, pause=2)
                guest.run("docker exec $(docker ps -q) touch /tmp/go")
                server.wait_for("survivor", "done", limit=LIMIT)
                assert server.logs("survivor").splitlines()[-1] == "went on"
            with lab.check("the fleet is deleted, and nothing of its runs is left on the host"):
                server.wait_idle("ours", LIMIT)
                server.cli("fleet", "delete", "-y", "ours", limit=LIMIT)
                wait_until(lambda: server.call("project/main/fleets/list") == [], "the fleet's end at the server", LIMIT, pause=1)
                assert guest.text("docker ps -aq") == ""
                assert guest.text("ls -A /root/.dstack/tasks /root/.dstack/runners | grep -v :$ || true") == ""
                assert guest.text("grep 'added by dstack-shim' /home/user/.ssh/authorized_keys /root/.ssh/authorized_keys || true") == ""
            with lab.check("the service's journal has no errors"):
                errors = guest.text("journalctl -u dstack-shim -p err -o cat --no-pager | grep -v 'no answer within' || true")
                assert errors == "", errors


def take_in(server: Server, guest: Guest) -> None:
    where = {"user": "user", "port": guest.port, "identity_file": str(guest.image.key), "hosts": ["127.0.0.1"]}
    server.apply({"type": "fleet", "name": "ours", "ssh_config": where})
    server.wait_idle("ours", LIMIT)


def shim(guest: Guest) -> str:
    """The service's process id."""
    return guest.text("systemctl show dstack-shim --property=MainPID --value")
