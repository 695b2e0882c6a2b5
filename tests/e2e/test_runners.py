"""A host becomes a runner of a real server's project by what a person types at it, takes a job, and leaves."""

import pytest
from support.dstack_server import TOKEN, URL
from support.joined_host import JoinedHost, job, serve_binaries, start_server
from support.machine import Machine
from support.processes import SHIM, wait_until

pytestmark = pytest.mark.timeout(600)

# Beside the two programs and the shim's home, nothing of joining is left after leaving.
STAYS = (
    "usr/local/bin/dstack-shim ",
    "usr/local/bin/dstack-runner ",
    "usr/local/bin ",
    "root/.dstack/shim.log",
    "root/.dstack/shim.lock",
    "root/.dstack/host_info.json",
    "root/.dstack/runners",
    "root/.dstack/tasks",
    "root/.dstack ",
    # The server's and its client's own.
    "root/.dstack/server",
    "root/.dstack/config.yml",
    "root/.dstack/ssh",
    "root/.dstack/logs",
    "root/.dstack/repos",
)


def changed_lines(before: str, after: str) -> list[str]:
    old, new = set(before.splitlines()), set(after.splitlines())
    changed = [f"- {line}" for line in old - new] + [f"+ {line}" for line in new - old]
    return sorted(line for line in changed if not line[2:].startswith(STAYS))


@pytest.fixture
def machine(tmp_path, image) -> Machine:
    with Machine(tmp_path / "machine", image, systemd=True) as made:
        yield made


@pytest.fixture
def server(machine, tmp_path):
    with serve_binaries(machine, tmp_path), start_server(machine, tmp_path) as made:
        yield made


def test_a_host_joins_takes_a_job_and_leaves_as_it_was(machine, server, image, tmp_path):
    host = JoinedHost(machine, tmp_path)
    before = host.files()
    refused = host.runner("config", "--token", "wrong-token", "--server", URL, check=False)
    assert refused.returncode == 77, refused
    server.call("projects/create", project_name="private")
    server.call("users/create", username="stranger", global_role="user")
    stranger = server.call("users/get_user", username="stranger")["creds"]["token"]
    refused = host.runner("config", "--token", stranger, "--server", URL, "--project", "private", check=False)
    assert refused.returncode == 77 and "stranger is no member of project private" in refused.stderr, refused
    assert changed_lines(before, host.files()) == []

    said = host.configure(URL)
    assert said.stdout == f"configured as admin at {URL}, project main\n"
    started = host.runner("start", "--name", "sugar-1")
    assert started.stdout == "sugar-1 is live\n"
    assert [line for line in started.stderr.splitlines() if not line.startswith("warning")] == [
        "way in open",
        "known to the server",
        "set up by the server",
        "ready",
    ]
    status = host.status()
    assert (status["live"], status["name"], status["instance"], status["way_in"]["state"]) == (True, "sugar-1", "idle", "open")
    table = machine.run(SHIM, "runners", environment={"HOME": "/root"}).stdout
    runner, host_name, state, *_ = table.splitlines()[1].split()
    assert (runner, host_name, state) == ("sugar-1", machine.run("hostname").stdout.strip(), "LIVE"), table

    # Ours, although the server removed the one and replaced the other as it took the host in.
    for program in ("dstack-shim", "dstack-runner"):
        machine.run("cmp", f"/usr/local/bin/{program}", f"/usr/local/lib/dstack/{program}")

    server.apply(job(image, "first", "echo it ran at $(hostname)"))
    end = server.wait_end("first")
    assert (end["status"], end["exit_status"]) == ("done", 0), end
    assert "it ran at" in server.logs("first")

    again = host.runner("start")
    assert "nothing to repair" in again.stderr
    assert again.stdout == "sugar-1 is live\n"

    left = host.runner("leave", "--purge")
    assert left.stdout == "sugar-1 has left\n"
    assert server.call("project/main/fleets/list") == []
    left_over = changed_lines(before, host.files())
    assert left_over == [], "\n".join(left_over)
    assert host.runner("leave").stdout == "not a runner\n"

    secret = machine.run("sh", "-c", f"grep -rl {TOKEN} /root/.dstack/shim.log /var/log 2>/dev/null || true").stdout
    assert secret == ""


@pytest.mark.long
def test_an_agent_that_is_killed_and_a_server_that_restarts_change_nothing(machine, server, image, tmp_path):
    host = JoinedHost(machine, tmp_path)
    host.configure(URL)
    host.runner("start", "--name", "sugar-1")

    agent = machine.run("systemctl", "show", "dstack-join", "--value", "-p", "MainPID").stdout.strip()
    machine.run("kill", "-9", agent)

    def comes_back() -> bool:
        now = machine.run("systemctl", "show", "dstack-join", "--value", "-p", "MainPID").stdout.strip()
        return now not in ("0", agent) and machine.run("systemctl", "is-active", "dstack-join", check=False).returncode == 0

    wait_until(comes_back, "the agent's return", 60, pause=0.3)
    # What it had started ended with it: its successor listens on the same port.
    wait_until(lambda: host.status()["live"], "the host's return", 120, pause=1)

    server.program.kill()
    server.program = server._start()
    wait_until(lambda: host.status()["live"], "the host's return after the server's", 120, pause=1)
    server.apply(job(image, "after", "echo after"))
    assert server.wait_end("after")["exit_status"] == 0


@pytest.mark.long
def test_a_fleet_that_is_deleted_at_the_server_ends_the_runner_and_it_can_join_again(machine, server, tmp_path):
    host = JoinedHost(machine, tmp_path)
    host.configure(URL)
    host.runner("start", "--name", "sugar-1")
    # One that its agent has not seen live yet is made again.
    wait_until(lambda: '"was_live": true' in machine.read("/root/.dstack/join/state.json"), "the agent's notice", 60, pause=0.5)
    server.call("project/main/fleets/delete", names=["sugar-1"])
    gone = ["test", "!", "-e", "/etc/systemd/system/dstack-join.service"]
    wait_until(lambda: machine.run(*gone, check=False).returncode == 0, "the end of the agent's unit", 150, pause=1)
    # It removes its own unit first, and ends when all is undone.
    wait_until(lambda: machine.run("systemctl", "is-active", "dstack-join", check=False).returncode != 0, "the agent's end", 150, pause=0.3)
    machine.run("test", "!", "-e", "/etc/systemd/system/dstack-shim.service")
    assert host.status()["live"] is False
    assert host.runner("start", "--name", "sugar-1").stdout == "sugar-1 is live\n"


@pytest.mark.long
def test_a_runner_in_use_is_left_only_by_force(machine, server, image, tmp_path):
    host = JoinedHost(machine, tmp_path)
    host.configure(URL)
    host.runner("start", "--name", "sugar-1")
    server.apply(job(image, "busy", "echo on; sleep 1000"))
    server.wait_for("busy", "running")
    refused = host.runner("leave", check=False)
    assert refused.returncode == 1
    assert "busy" in refused.stderr
    assert host.status()["live"] is True
    assert host.runner("leave", "--force").stdout == "sugar-1 has left\n"
