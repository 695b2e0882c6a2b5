"""Boot, install, one job."""

from lab.calls import Calls
from lab.context import IMAGE, Lab


def smoke(lab: Lab) -> None:
    with lab.guest() as guest:
        with lab.check("install.sh installs and starts the service"):
            lab.install(guest)
            state = guest.text("systemctl show dstack-shim --property=ActiveState,SubState,NRestarts,StatusText")
            assert "ActiveState=active\nSubState=running" in state and "NRestarts=0" in state, state
        with lab.check("the server's tunnel reaches the API"):
            assert Calls(guest).get("/api/healthcheck").json()["service"] == "dstack-shim"
        with lab.check("a job's output and exit status"):
            done = guest.run(f"dstack-shim run --image {IMAGE} --rm -- sh -c 'echo hello; cat /proc/1/comm; exit 3'", check=False)
            assert done.returncode == 3 and done.stdout.split() == ["hello", "dstack-runner"], done
        with lab.check("nothing is left of it"):
            assert guest.text("docker ps -aq") == ""
            assert guest.text("ls /root/.dstack/tasks /root/.dstack/runners").split() == ["/root/.dstack/runners:", "/root/.dstack/tasks:"]
        with lab.check("the service's journal has no errors"):
            # A slow machine's Docker may miss the shim's deadlines.
            errors = guest.text("journalctl -u dstack-shim -p warning -o cat --no-pager | grep -v 'no answer within' || true")
            assert errors == "", errors
