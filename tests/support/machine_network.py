"""Networks of machines of the test's own."""

import subprocess

from support.machine import Machine


def connect(one: Machine, other: Machine) -> str:
    """A cable: a network device in each machine, both up and without addresses. Their name, the same in both."""
    device = f"c{other.name[-8:]}"
    first, second = f"{device}a", f"{device}b"
    subprocess.run(["ip", "link", "add", first, "type", "veth", "peer", "name", second], check=True)
    for machine, end in ((one, first), (other, second)):
        subprocess.run(["ip", "link", "set", end, "netns", str(machine._init())], check=True)
        machine.run("ip", "link", "set", end, "name", device)
        machine.run("ip", "link", "set", device, "up")
    return device
