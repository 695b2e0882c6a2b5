"""What all measures need: sizes, folders, programs, a shim and a runner to measure."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.processes import ROOT, RUNNER, Shim
from support.runner_container import RunnerContainer, docker, scratch_image

IMAGE = os.environ.get("DSTACK_TEST_REGISTRY", "127.0.0.1:5000") + "/busybox:1"
PROGRAMS = ROOT / "build" / "dev" / "tests" / "bench"


@dataclass(frozen=True)
class Sizes:
    pairs: int  # alternating measurements of ours and of what is beside it
    slow_pairs: int  # the same, of what takes seconds
    output: int  # MB that a job prints
    stamps: int  # lines whose delay is measured
    readers: int
    tasks: int  # running while memory and idle CPU are measured
    tasks_at_once: tuple[int, ...]  # submitted
    sessions: int  # of SSH, at once
    idle: float  # seconds
    files: int  # in a repository
    megabytes: int  # in an archive, an image, a file that goes over SSH
    diff: int  # MB
    upload: int  # MB
    many: tuple[int, ...] = (10, 100, 1000)  # tasks of the simulated engine
    connections: int = 10_000  # idle, at once
    growing_output: tuple[int, ...] = (1, 10, 100)  # MB
    growing_readers: tuple[int, ...] = (1, 10, 100)
    growing_files: tuple[int, ...] = (10, 100, 1000)  # of a clone


SHORT = Sizes(
    pairs=2,
    slow_pairs=1,
    output=4,
    stamps=200,
    readers=8,
    tasks=3,
    tasks_at_once=(3,),
    sessions=3,
    idle=1,
    files=500,
    megabytes=8,
    diff=8,
    upload=8,
    many=(2, 20),
    connections=200,
    growing_output=(1, 4),
    growing_readers=(1, 4),
    growing_files=(10, 50),
)
# One of many rounds, of --old.
ROUND = Sizes(
    pairs=1,
    slow_pairs=1,
    output=30,
    stamps=2000,
    readers=50,
    tasks=10,
    tasks_at_once=(10,),
    sessions=5,
    idle=3,
    files=2000,
    megabytes=30,
    diff=30,
    upload=30,
    many=(2, 20),
    connections=1000,
    growing_output=(1, 10),
    growing_readers=(1, 10),
    growing_files=(10, 100, 1000),
)
SMALL = Sizes(
    pairs=10,
    slow_pairs=3,
    output=100,
    stamps=10_000,
    readers=200,
    tasks=20,
    tasks_at_once=(20,),
    sessions=20,
    idle=15,
    files=10_000,
    megabytes=100,
    diff=100,
    upload=100,
)
FULL = Sizes(
    pairs=15,
    slow_pairs=10,
    output=1000,
    stamps=100_000,
    readers=200,
    tasks=200,
    tasks_at_once=(50, 200),
    sessions=100,
    idle=60,
    files=50_000,
    megabytes=1024,
    diff=100,
    upload=2048,
    growing_output=(1, 10, 100, 1000, 10_000),
    growing_readers=(1, 10, 100, 200),
    growing_files=(10, 100, 1000, 10_000, 100_000, 1_000_000),
)


class Bench:
    def __init__(self, sizes: Sizes, folder: Path):
        self.sizes = sizes
        self.folder = folder

    @contextmanager
    def work(self) -> Iterator[Path]:
        """An empty folder, gone afterwards."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            yield Path(folder)

    @contextmanager
    def runner(self, folder: Path, *options: str) -> Iterator[RunnerContainer]:
        """A runner that answers, in an image with nothing in it; its folder is `folder`/runner, the programs in /bench."""
        mounts = ["-v", f"{folder}/runner:/tmp/runner", "-v", f"{PROGRAMS}:/bench:ro", "-v", f"{folder}:/result"]
        with RunnerContainer(scratch_image(folder), options=[*mounts, *options]) as container:
            container.wait_ready()
            yield container

    @contextmanager
    def shim(self, home: Path, runner: Path = RUNNER) -> Iterator[Shim]:
        with Shim(home, runner=runner) as shim:
            yield shim.wait_ready()

    def run(self, program: str, *arguments) -> str:
        """What one of the small programs prints."""
        command = [str(PROGRAMS / f"bench_{program}"), *(str(argument) for argument in arguments)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def process_of(container: str) -> int:
    return int(docker("inspect", "-f", "{{.State.Pid}}", container))


def pids_of(container: str) -> list[int]:
    """Of all its processes, as this host numbers them."""
    return [int(word) for word in docker("top", container, "-eo", "pid").split()[1:]]


def megabytes_in(file: Path, field: str) -> float:
    for line in file.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"{file} has no {field}")


def memory(pid: int) -> float:
    """MB."""
    return megabytes_in(Path(f"/proc/{pid}/status"), "VmRSS")


def proportional_memory(pid: int) -> float:
    """MB, of pages that are shared only this process's part."""
    return megabytes_in(Path(f"/proc/{pid}/smaps_rollup"), "Pss")


def cpu_seconds(pid: int) -> float:
    """Of the process with its threads, those that have ended too."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_seconds_now(pid: int) -> float:
    """The same, to the nanosecond: the CPU clock of the process, whose number the kernel makes of its id."""
    return time.clock_gettime(~pid << 3 | 2)


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
