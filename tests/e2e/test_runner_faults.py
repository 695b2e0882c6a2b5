"""A host that becomes a runner of a real server's project, when something goes wrong or somebody else is there too."""

import subprocess
import sys
import threading
import time

import pytest
from support.argument_lists import ArgumentLists
from support.dstack_server import TOKEN, URL
from support.joined_host import JoinedHost, job, serve_binaries, start_server
from support.machine import Machine
from support.machine_network import connect
from support.processes import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

SERVER_ADDRESS = "10.77.0.1"
HOST_ADDRESS = "10.77.0.2"
FAR_URL = f"http://{SERVER_ADDRESS}:3000"


@pytest.fixture
def machine(tmp_path, image) -> Machine:
    with Machine(tmp_path / "machine", image, systemd=True) as made:
        yield made


@pytest.fixture
def server(machine, tmp_path):
    with serve_binaries(machine, tmp_path), start_server(machine, tmp_path) as made:
        yield made


@pytest.fixture
def other_machine(machine, tmp_path, image) -> Machine:
    with Machine(tmp_path / "other", image, systemd=True) as made:
        device = connect(machine, made)
        machine.run("ip", "address", "add", f"{SERVER_ADDRESS}/32", "dev", "lo")
        made.run("ip", "address", "add", f"{HOST_ADDRESS}/24", "dev", device)
        machine.run("ip", "route", "add", f"{HOST_ADDRESS}/32", "dev", device, "src", SERVER_ADDRESS)
        yield made


@pytest.fixture
def far_server(machine, other_machine, tmp_path):
    """One that another machine reaches as well."""
    with (
        serve_binaries(machine, tmp_path, SERVER_ADDRESS),
        start_server(machine, tmp_path, SERVER_ADDRESS, DSTACK_SERVER_HOST="0.0.0.0", DSTACK_UPDATE_DEFAULT_PROJECT="1") as made,
    ):
        yield made


def make_foreign_fleet(server, name: str) -> None:
    configuration = {"type": "fleet", "name": name, "nodes": {"min": 0, "target": 0, "max": 1}, "backends": ["aws"]}
    spec = {"configuration": configuration, "profile": {"name": "default"}}
    server.call("project/main/fleets/apply", plan={"spec": spec}, force=False)


def test_a_chosen_name_that_is_taken_is_an_error_and_a_made_up_one_gets_a_number(machine, server, tmp_path):
    host = JoinedHost(machine, tmp_path)
    host.configure(URL)
    make_foreign_fleet(server, "taken")
    refused = host.runner("start", "--name", "taken", check=False)
    assert refused.returncode == 1, refused
    assert "there is a fleet taken in project main already" in refused.stderr
    machine.run("test", "!", "-e", "/etc/systemd/system/dstack-join.service")
    machine.run("test", "!", "-e", "/root/.dstack/join/state.json")
    assert host.status()["live"] is False

    made_up = machine.run("hostname").stdout.strip()
    make_foreign_fleet(server, made_up)
    assert host.runner("start").stdout == f"{made_up}-2 is live\n"
    # A name in the configuration is a chosen one as well.
    host.runner("leave")
    host.runner("config", "--name", "taken")
    assert host.runner("start", check=False).returncode == 1


def test_a_host_that_was_rebooted_comes_back_by_itself(machine, server, image, tmp_path):
    host = JoinedHost(machine, tmp_path)
    host.configure(URL)
    host.runner("start", "--name", "sugar-1")
    wait_until(lambda: '"was_live": true' in machine.read("/root/.dstack/join/state.json"), "the agent's notice", 90, pause=0.5)
    units = ["dstack-join", "dstack-shim", "docker", "containerd"]
    # As a power cut leaves it: all processes gone at once, nothing put in order.
    machine.run("systemctl", "kill", "-s", "KILL", "--kill-who=all", *units, check=False)
    machine.run("systemctl", "stop", *units, "docker.socket", check=False)
    machine.run("sh", "-c", "rm -rf /run/docker /run/containerd /run/docker.pid")
    # What a boot does.
    machine.run("systemctl", "start", "multi-user.target", "docker")
    wait_until(lambda: host.status()["live"], "the host's return", 180, pause=1)
    server.apply(job(image, "after", "echo after"))
    assert server.wait_end("after")["exit_status"] == 0
    assert host.runner("leave").stdout == "sugar-1 has left\n"


def test_two_hosts_join_at_once_one_of_them_at_an_address_of_its_own(machine, other_machine, far_server, image, tmp_path):
    hosts = {"near": JoinedHost(machine, tmp_path / "near"), "far": JoinedHost(other_machine, tmp_path / "far")}
    hosts["near"].configure(URL)
    hosts["far"].configure(FAR_URL)
    ways = {"near": [], "far": ["--address", f"{HOST_ADDRESS}:10023"]}
    said = {}

    def start(name: str) -> None:
        said[name] = hosts[name].runner("start", "--name", name, *ways[name], check=False)

    threads = [threading.Thread(target=start, args=[name]) for name in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in hosts:
        assert said[name].stdout == f"{name} is live\n", said[name]
    for name in hosts:
        far_server.apply({**job(image, f"on-{name}", "echo it ran"), "fleets": [name]})
        assert far_server.wait_end(f"on-{name}")["exit_status"] == 0
    # The same name again, from the other host.
    assert hosts["near"].runner("leave").stdout == "near has left\n"
    refused = hosts["near"].runner("start", "--name", "far", check=False)
    assert refused.returncode == 1
    assert "of the host" in refused.stderr and other_machine.run("hostname").stdout.strip() in refused.stderr
    assert hosts["far"].status()["live"] is True


def test_a_host_joins_through_any_ssh_server(machine, other_machine, far_server, image, tmp_path):
    host = JoinedHost(other_machine, tmp_path)
    other_machine.run("sh", "-c", "ssh-keygen -q -t ed25519 -N '' -f /root/relay_key")
    machine.run("sh", "-c", "useradd -m -s /bin/sh -p '*' tunnel && ssh-keygen -A")
    machine.write("/home/tunnel/.ssh/authorized_keys", other_machine.read("/root/relay_key.pub"))
    machine.run("chown", "-R", "tunnel:tunnel", "/home/tunnel/.ssh")
    sshd = ["/usr/sbin/sshd", "-D", "-e", "-p", "2200", "-o", "UsePAM=no", "-o", "GatewayPorts=clientspecified"]
    with machine.start(*sshd, log=tmp_path / "relay.log"):
        host.configure(FAR_URL)
        relay = ["--relay", f"{SERVER_ADDRESS}:2200", "--relay-user", "tunnel", "--relay-key", "/root/relay_key"]
        assert host.runner("start", "--name", "far-1", *relay, check=False).returncode == 64
        started = host.runner("start", "--name", "far-1", *relay, "--relay-listen", "127.0.0.9:2222", check=False)
        assert started.stdout == "far-1 is live\n", (started, (tmp_path / "relay.log").read_text()[-2000:])
        far_server.apply(job(image, "far", "echo from afar"))
        assert far_server.wait_end("far")["exit_status"] == 0
        assert host.runner("leave", "--purge").stdout == "far-1 has left\n"
    assert other_machine.run("test", "-e", "/root/relay_key").returncode == 0


def test_a_start_or_leave_that_is_killed_at_any_step_is_put_right_by_the_next(machine, server, image, tmp_path):
    host = JoinedHost(machine, tmp_path)
    before = host.files()
    host.configure(URL)

    def cut(verb: list[str], after: float) -> None:
        command = ["/usr/local/bin/dstack-runner", *verb]
        started = subprocess.Popen(machine.inside("env", "HOME=/root", *command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(after)
        machine.run("pkill", "-9", "-x", "-f", " ".join(command), check=False)
        started.wait()

    for after in (0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 2, 4):
        cut(["start", "--name", "sugar-1"], after)
    assert host.runner("start", "--name", "sugar-1").stdout == "sugar-1 is live\n"
    server.apply(job(image, "works", "echo works"))
    assert server.wait_end("works")["exit_status"] == 0

    for after in (0.1, 0.3, 0.6, 1, 1.5, 2, 3):
        cut(["leave", "--purge"], after)
    host.runner("leave", "--purge")
    left_over = set(host.files().splitlines()) - set(before.splitlines())
    joined = ("etc/", "usr/local/lib/dstack", "root/.dstack/join", "root/.dstack/config.yaml", "root/.ssh")
    assert sorted(line for line in left_over if line.startswith(joined)) == []
    assert server.call("project/main/fleets/list") == []


def test_no_argument_list_has_the_token_or_a_key_in_it(machine, server, tmp_path):
    host = JoinedHost(machine, tmp_path)
    user_key = server.call("users/get_my_user")["ssh_private_key"].splitlines()[1]
    with ArgumentLists(TOKEN, user_key, "PRIVATE KEY") as lists:
        host.configure(URL)
        host.runner("start", "--name", "sugar-1")
        host.runner("start")
        host.runner("leave")
    assert lists.samples > 20
    assert lists.found == set()


def test_a_machine_without_ca_certificates_says_so(machine, tmp_path):
    machine.run("sh", "-c", "rm -rf /etc/ssl /etc/pki /usr/share/ca-certificates /usr/lib/ssl/certs /usr/local/share/ca-certificates; mkdir /srv/tls")
    subject = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    machine.run("env", "OPENSSL_CONF=/dev/null", "openssl", "req", *subject, "-keyout", "/srv/tls/key", "-out", "/srv/tls/certificate")
    tls = ["openssl", "s_server", "-accept", "8443", "-cert", "/srv/tls/certificate", "-key", "/srv/tls/key", "-www"]
    JoinedHost(machine, tmp_path)  # installs
    with machine.start("env", "OPENSSL_CONF=/dev/null", *tls, log=tmp_path / "tls.log"):
        wait_until(lambda: "ACCEPT" in (tmp_path / "tls.log").read_text(), "the TLS server")
        # As on a host whose administrator has not pointed elsewhere.
        command = ["env", "-u", "SSL_CERT_FILE", "-u", "SSL_CERT_DIR", "HOME=/root", "/usr/local/bin/dstack-runner", "config"]
        refused = machine.run(*command, "--token", "-", "--server", "https://localhost:8443", check=False, input="a-token\n")
    assert refused.returncode == 69, refused
    assert "this machine has no CA certificates: install ca-certificates" in refused.stderr


def test_the_sampling_of_argument_lists_finds_one():
    with ArgumentLists("a-text-to-find") as lists:
        subprocess.run([sys.executable, "-c", "import time; time.sleep(1)", "a-text-to-find"], check=True)
    assert len(lists.found) == 1, lists.found
