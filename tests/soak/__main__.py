"""Runs tasks of every ending for a long time on a host where things fail, and counts what is left.

    scripts/soak --minutes N [--seed S] [--plant-leak]

Prints how each task ended. Exit status 1 if a task was lost or ended wrongly, if anything of the tasks is left, or if the shim's memory grows.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from soak.faults import CALM, DOCKER_KILLED, Fault, choose_fault
from soak.host import Host
from soak.lives import Life, Violation, plan
from soak.quiet import Quiet, connections, end_what_docker_lost, memory
from soak.slope import Slope, common_slope

TASKS_OF_A_ROUND = 20
AT_ONCE = 6
LEAK_EVERY, LEAK_AT = 100, 30  # --plant-leak: at the tasks 30, 130, …
WARM_UP = 100  # tasks of a process, which fill its caches and pools
MAX_GROWTH = 512  # bytes a task that memory may certainly grow by


class Soak:
    def __init__(self, host: Host, seed: int, leak: bool):
        self.host = host
        self.seed = seed
        self.leak = leak
        self.quiet = Quiet(host)
        self.tasks = 0
        self.endings: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.problems: list[str] = []
        # Of each process of the shim: tasks so far, and its memory while it has none.
        self.memory: dict[int, list[tuple[float, float]]] = {}
        self.since_start: dict[int, int] = {}
        self.lock = threading.Lock()

    def say(self, line: str) -> None:
        with self.lock:
            print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)

    def problem(self, line: str) -> None:
        self.problems.append(line)
        self.say(f"PROBLEM: {line}")

    def run_one(self, number: int, calm: bool) -> None:
        chosen = plan(self.seed, number, self.host)
        try:
            ending = Life(self.host, chosen).live(calm)
        except Violation as violation:
            self.problem(f"task {number} ({chosen}): {violation}")
            return
        except Exception as error:
            self.problem(f"task {number} ({chosen}): {type(error).__name__}: {error}")
            return
        with self.lock:
            self.endings[f"{chosen.way}: {ending.split(' ')[0].rstrip(':')}"] += 1
            pid = self.host.shim.process.pid
            self.since_start[pid] = self.since_start.get(pid, 0) + 1
        self.say(f"task {number} ({chosen}): {ending}")
        if self.leak and number % LEAK_EVERY == LEAK_AT:
            planted = subprocess.run([sys.executable, "-m", "soak.plant", str(self.host.shim.process.pid)], capture_output=True, text=True)
            self.say(f"a leak was planted: {planted.stdout.strip() or planted.stderr.strip()}")

    def strike(self, fault: Fault, choose: random.Random) -> None:
        time.sleep(choose.uniform(0.2, 5))
        self.say(f"fault: {fault.name}")
        try:
            fault.strike(self.host, choose)
        except Exception as error:
            self.problem(f"{fault.name}: {type(error).__name__}: {error}")
        self.say(f"fault over: {fault.name}")

    def round(self, number: int) -> None:
        fault, choose = choose_fault(self.seed, number)
        self.faults[fault.name] += 1
        self.say(f"round {number}: {fault.name}")
        shims = self.host.shims
        striking = threading.Thread(target=self.strike, args=(fault, choose))
        if fault is not CALM:
            striking.start()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for _ in range(TASKS_OF_A_ROUND):
                pool.submit(self.run_one, self.tasks, fault is CALM)
                self.tasks += 1
        if fault is not CALM:
            striking.join()
        self.remove_unknown_tasks(restart=self.host.shims != shims)
        if fault is DOCKER_KILLED:
            for container in end_what_docker_lost(self.host):
                self.say(f"Docker lost a container when it was killed: {container}")
        left = self.quiet.check()
        self.say(
            f"nothing was left after {self.quiet.took:.1f} s{', last: ' if self.quiet.last else ''}{'; '.join(self.quiet.last)}"
            if not left
            else "something is left"
        )
        for each in left:
            self.problem(f"left after round {number} ({fault.name}): {each}")
        if any(" descriptor socket" in each for each in left):
            for line in connections(self.host.shim.process.pid):
                self.say(f"connection {line}")
        self.note_memory()

    def remove_unknown_tasks(self, restart: bool) -> None:
        """As a server does. Docker may carry out a create after the shim that asked for it was killed: the next start sees that container."""
        if restart and self.host.engine.call("ps", "--all", "--quiet").stdout.split():
            self.say("a container was created after its task had been removed: the shim is started again")
            self.host.kill_shim()
        for task in requests.get(f"{self.host.shim.url}/api/tasks", timeout=20).json()["tasks"]:
            self.say(f"a task that the server does not know is removed: {task}")
            body = {"termination_reason": "terminated_by_server", "termination_message": "", "timeout": 0}
            requests.post(f"{self.host.shim.url}/api/tasks/{task['id']}/terminate", json=body, timeout=20)
            requests.post(f"{self.host.shim.url}/api/tasks/{task['id']}/remove", timeout=20)

    def note_memory(self) -> None:
        pid = self.host.shim.process.pid
        served = self.since_start.get(pid, 0)
        if served >= WARM_UP:
            self.memory.setdefault(pid, []).append((served, memory(pid)))
        self.say(f"memory: {memory(pid) >> 10} KiB after {served} tasks of this process")

    def slope(self) -> Slope | None:
        return common_slope(list(self.memory.values()))

    def stop(self) -> None:
        status = self.host.shim.stop()
        if status != 0:
            self.problem(f"the shim exited with {status}")
        slope = self.slope()
        if slope and slope.lower > MAX_GROWTH:
            self.problem(f"memory grows: {slope}")

    def report(self) -> None:
        print(f"\nseed {self.seed}, {self.tasks} tasks, {self.host.shims} starts of the shim")
        print("faults: " + ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items())))
        for ending, count in sorted(self.endings.items()):
            print(f"  {count:5} {ending}")
        print(f"descriptors, threads and children of an idle shim: {self.quiet}")
        print(f"memory: {self.slope() or 'too few points'}")
        for problem in self.problems:
            print(f"PROBLEM: {problem}")
        print(f"{len(self.problems)} problems", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", metavar="N", type=float, default=60)
    parser.add_argument("--seed", metavar="S", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--plant-leak", action="store_true", help="make the shim leak one descriptor in 100 tasks: the soak has to fail")
    options = parser.parse_args()
    # So that what was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="dstack-soak-", ignore_cleanup_errors=True) as folder:
        host = Host(Path(folder))
        try:
            host.start()
            soak = Soak(host, options.seed, options.plant_leak)
            end, number = time.monotonic() + options.minutes * 60, 0
            while time.monotonic() < end or number < 2:
                soak.round(number)
                number += 1
            soak.stop()
            soak.report()
            if soak.problems:
                kept = Path(tempfile.mkdtemp(prefix="dstack-soak-logs-"))
                subprocess.run(["cp", *Path(folder).glob("*.log"), kept])
                print(f"logs: {kept}")
        finally:
            host.close()
    return 1 if soak.problems else 0


if __name__ == "__main__":
    sys.exit(main())
