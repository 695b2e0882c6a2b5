"""Networks of machines of the test's own."""

import concurrent.futures
import ctypes
import os
import subprocess
from collections.abc import Callable
from typing import TypeVar

from support.machine import Machine


CLONE_NEWNET = 0x40000000
Made = TypeVar("Made")


def made_in_network_of(machine: Machine, make: Callable[[], Made]) -> Made:
    """What `make` returns, made by a thread in the machine's network: the sockets that it opens belong there, and so do its threads."""

    def enter_and_make() -> Made:
        with open(f"/proc/{machine._init()}/ns/net") as network:
            if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return make()

    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(enter_and_make).result()


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
