"""What tasks and jobs of a server meet: doctor, both networks, who may call, metrics, limits, keys of an ordinary user."""

import json
import subprocess

from dstack._internal.server.services.runner.client import RunnerClient
from prometheus_client.parser import text_string_to_metric_families
from support import jobs as server_jobs
from support.processes import wait_until
from support.ssh_client import OPTIONS, make_key, public

from lab.calls import PATIENCE, Calls
from lab.guest import Guest
from lab.context import IMAGE, Lab

REFUSED = "not allowed from a task's container"


def jobs(lab: Lab) -> None:
    with lab.guest() as guest:
        lab.install(guest)
        calls = Calls(guest)
        doctor(lab, guest)
        networks(lab, guest, calls)
        metrics(lab, guest, calls)
        limits(lab, guest)
        keys(lab, guest, calls)
        with lab.check("the service's journal has no errors"):
            # A slow machine's Docker may miss the shim's deadlines.
            errors = guest.text("journalctl -u dstack-shim -p err -o cat --no-pager | grep -v 'no answer within' || true")
            assert errors == "", errors


def doctor(lab: Lab, guest: Guest) -> None:
    with lab.check("doctor finds nothing broken") as notes:
        found = json.loads(guest.run("dstack-shim doctor --json", check=False).stdout)
        notes.append(f"warnings: {' '.join(check['name'] for check in found['checks'] if check['verdict'] == 'warning') or 'none'}")
        assert not found["broken"], found
    with lab.check("doctor sees the unit's capabilities and the caller check"):
        verdicts = {check["name"]: check for check in found["checks"]}
        for name in ("capabilities", "peer-look-up", "cgroups", "tools", "docker"):
            assert verdicts[name]["verdict"] == "ok", verdicts[name]


def follow(runner: RunnerClient) -> tuple[str, list]:
    """The job's output and its last state, pulled as a server does."""
    output, states, timestamp = b"", [], 0

    def pull() -> bool:
        nonlocal output, timestamp
        answer = runner.pull(timestamp)
        timestamp = answer.last_updated
        output += b"".join(event.message for event in answer.job_logs)
        states.extend(answer.job_states)
        return not answer.has_more

    wait_until(pull, "the end of the job's logs", PATIENCE, pause=0.5)
    return output.decode(), states


def networks(lab: Lab, guest: Guest, calls: Calls) -> None:
    for network in ("bridge", "host"):
        with lab.check(f"a server's job in the {network} network"):
            info = calls.run(network, network_mode=network)
            runner = calls.runner(info)
            server_jobs.submit(runner, ["/bin/sh", "-c", "echo from $DSTACK_RUN_NAME; exit 3"])
            runner.run_job()
            output, states = follow(runner)
            assert output == "from test-run\n", output
            assert (states[-1].state.value, states[-1].exit_status) == ("failed", 3), states
        who_may_call(lab, guest, calls, network)
        with lab.check(f"the task in the {network} network ends and is removed"):
            calls.end(network)
            assert guest.text("docker ps -aq") == ""


def who_may_call(lab: Lab, guest: Guest, calls: Calls, network: str) -> None:
    with lab.check(f"who may call, with a task in the {network} network"):
        assert "Checking API callers by socket cgroup" in guest.text("journalctl -u dstack-shim -o cat --no-pager")
        task = f"caller-{network}"
        info = calls.run(task, network_mode=network, privileged=True)
        request = "printf 'GET /api/tasks HTTP/1.0\\r\\nHost: x\\r\\n\\r\\n' | nc"
        if network == "host":
            # As root, as another user, and from a cgroup of its own below the container's.
            nested = "mkdir /sys/fs/cgroup/own && echo $$ > /sys/fs/cgroup/own/cgroup.procs && "
            for user, before in (("0", ""), ("1234", ""), ("0", nested)):
                answer = guest.run(
                    f'docker exec -u {user} {info["container_id"]} sh -c "{before.replace("$", chr(92) + "$")}{request} 127.0.0.1 10998"'
                ).stdout
                assert " 403 " in answer and REFUSED in answer, (user, before, answer)
        # A container that is not a task's, and a user of the host.
        assert " 200 " in guest.text(f'docker run --rm --network host {IMAGE} sh -c "{request} 127.0.0.1 10998"')
        assert " 200 " in guest.text(f"{request} -q 5 127.0.0.1 10998", user="user")
        assert calls.get("/api/tasks").status_code == 200
        calls.end(task)


def metrics(lab: Lab, guest: Guest, calls: Calls) -> None:
    with lab.check("the shim's metrics"):
        text = calls.get("/metrics").text
        samples = {sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples}
        for name in ("process_resident_memory_bytes", "dstack_shim_host_memory_bytes", "dstack_shim_host_pids"):
            assert samples[name] > 0, name
        # Debian's kernel has pressure stall information.
        assert "dstack_shim_host_pressure_seconds_total" in samples
    with lab.check("a job's metrics come from cgroup v2"):
        runner = calls.runner(calls.run("measured", network_mode="bridge", memory=256 << 20))
        server_jobs.submit(runner, ["/bin/sh", "-c", "while :; do :; done"])
        runner.run_job()
        first = runner.get_metrics()
        assert 0 < first.memory_working_set_bytes <= first.memory_usage_bytes < 256 << 20, first
        wait_until(lambda: runner.get_metrics().cpu_usage_micro > first.cpu_usage_micro, "CPU time that grows", PATIENCE, pause=1)
        calls.end("measured")


def limits(lab: Lab, guest: Guest) -> None:
    with lab.check("limits of a task are its cgroup's"):
        shown = guest.text(
            f"dstack-shim run --image {IMAGE} --rm --cpus 0.5 --memory 64m --shm-size 16m -- sh -c 'cd /sys/fs/cgroup; cat memory.max cpu.max pids.max; df -m /dev/shm | tail -n 1'"
        )
        lines = shown.split("\n")
        assert lines[:3] == [str(64 << 20), "50000 100000", "32768"], shown
        assert lines[3].split()[1] == "16", shown
    with lab.check("a job that exceeds its memory is killed, and the runner reports it"):
        done = guest.run(
            f"dstack-shim run --image {IMAGE} --name hungry --memory 64m -- sh -c 'echo begin; dd if=/dev/zero of=/dev/null bs=300M count=1; echo $?; exit 7'",
            check=False,
        )
        assert done.returncode == 7 and done.stdout.split() == ["begin", "Killed", "137"], done
        assert "dstack-shim" not in guest.text("dmesg | grep -i 'killed process' || true")
        guest.run("dstack-shim rm hungry")


def keys(lab: Lab, guest: Guest, calls: Calls) -> None:
    with lab.check("host keys of a user who is not root") as notes:
        key = make_key(lab.folder / "server-key")
        folder = "/home/user/.ssh"
        # Made if it is not there, as the user's.
        guest.run(f"mv {folder} {folder}.lab")
        calls.run("keys", network_mode="bridge", host_ssh_user="user", host_ssh_keys=[public(key)])
        assert guest.text(f"cat {folder}/authorized_keys") == f"{public(key)} # added by dstack-shim"
        assert guest.text(f"stat -c '%U %G %a' {folder} {folder}/authorized_keys").split("\n") == ["user user 700", "user user 600"]
        options = [flag for name, value in OPTIONS.items() for flag in ("-o", f"{name}={value}")]
        login = ["ssh", "-F", "none", "-i", str(key), "-p", str(guest.port), *options, "-l", "user", "127.0.0.1", "whoami"]
        done = subprocess.run(login, capture_output=True, text=True)
        assert done.stdout == "user\n", done
        calls.end("keys")
        assert guest.text(f"cat {folder}/authorized_keys") == ""
        guest.run(f"rm -r {folder} && mv {folder}.lab {folder}")
        notes.append(guest.text("grep CapBnd /proc/$(pidof dstack-shim)/status").replace("\t", " "))
