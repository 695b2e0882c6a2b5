"""What happens to the host while tasks live. Each fault is over before its round is."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from soak.host import Host


@dataclass(frozen=True)
class Fault:
    name: str
    weight: int
    strike: Callable[[Host, random.Random], None]


def kill_shim(host: Host, choose: random.Random) -> None:
    host.kill_shim()


def kill_shim_again_and_again(host: Host, choose: random.Random) -> None:
    for _ in range(3):
        host.kill_shim()
        time.sleep(choose.uniform(0, 0.5))


def restart_engine(host: Host, choose: random.Random) -> None:
    host.restart_engine(by_kill=False)


def kill_engine(host: Host, choose: random.Random) -> None:
    host.restart_engine(by_kill=True)


def registry(mode: str) -> Callable[[Host, random.Random], None]:
    def strike(host: Host, choose: random.Random) -> None:
        host.registry.mode = mode
        time.sleep(choose.uniform(3, 12))
        host.registry.mode = "open"

    return strike


def dns(delay: float | None) -> Callable[[Host, random.Random], None]:
    def strike(host: Host, choose: random.Random) -> None:
        host.dns.delay = delay
        time.sleep(choose.uniform(3, 12))
        host.dns.delay = 0

    return strike


def full_disk(host: Host, choose: random.Random) -> None:
    try:
        host.fill_disk()
        time.sleep(choose.uniform(2, 8))
    finally:
        host.empty_disk()


CALM = Fault("no fault", 4, lambda host, choose: None)
DOCKER_KILLED = Fault("Docker killed", 1, kill_engine)
FAULTS = (
    CALM,
    Fault("shim killed", 3, kill_shim),
    Fault("shim killed three times", 1, kill_shim_again_and_again),
    Fault("Docker restarted", 1, restart_engine),
    DOCKER_KILLED,
    Fault("registry slow", 2, registry("slow")),
    Fault("registry dead", 2, registry("dead")),
    Fault("registry silent", 1, registry("silent")),
    Fault("DNS slow", 1, dns(1.5)),
    Fault("DNS dead", 1, dns(None)),
    Fault("disk full", 2, full_disk),
)


# Of each hundred rounds the first thirty may kill the shim. In the others one process lives long enough to show whether it grows.
ROUNDS, ROUNDS_WITH_KILLS = 100, 30


def choose_fault(seed: int, round_: int) -> tuple[Fault, random.Random]:
    """Of a round; the first has none, so that what is usual can be noted."""
    choose = random.Random(f"{seed}/round/{round_}")
    kills = round_ % ROUNDS < ROUNDS_WITH_KILLS
    faults = [fault for fault in FAULTS if kills or fault.strike not in (kill_shim, kill_shim_again_and_again)]
    fault = CALM if round_ == 0 else choose.choices(faults, [fault.weight for fault in faults])[0]
    return fault, choose
