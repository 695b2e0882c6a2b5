"""A job's output, from its write to a reader, beside a loop that reads a terminal and writes a file."""

import hashlib
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from bench.context import PROGRAMS, Bench, cpu_seconds, memory, process_of
from bench.figures import Figure, at_most, ratio, shown
from support.runner_container import RunnerContainer, docker, scratch_image

KINDS = {"plain": "plain lines", "coloured": "coloured lines", "progress": "progress bars", "bytes": "1-byte writes", "utf8": "UTF-8 text"}


def digest(file: Path) -> str:
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


class Reader:
    """A reader of /logs_ws that is connected before the job starts."""

    def __init__(self, port: int, *options: str):
        self.process = subprocess.Popen([PROGRAMS / "bench_log_reader", str(port), *options], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "connected\n"

    def result(self) -> tuple[int, int, int]:
        """When the first and the last byte came, and how many there were."""
        first, last, size = self.process.communicate(timeout=600)[0].split()
        return int(first), int(last), int(size)


def bare(folder: Path, kind: str, size: int) -> tuple[float, float, str]:
    """Seconds from the first write to the last byte in the file, CPU seconds, and a hash of the file; in a container like the
    runner's, whose seccomp filter makes each write dearer."""
    mounts = ["-v", f"{PROGRAMS}:/bench:ro", "-v", f"{folder}:/result", "--network", "host"]
    command = ["/bench/bench_terminal_loop", "/result/bare", "/bench/bench_writer", kind, str(size), "/result/wrote"]
    end, cpu = docker("run", "--rm", *mounts, "--entrypoint", command[0], scratch_image(folder), *command[1:]).split()
    start = int((folder / "wrote").read_text().split()[0])
    return (int(end) - start) / 1e9, float(cpu), digest(folder / "bare")


def through_runner(bench: Bench, folder: Path, kind: str, size: int) -> tuple[float, float, float, str]:
    """Seconds of the job, seconds until its last byte was at the reader, the runner's CPU seconds, and a hash of its log."""
    with bench.runner(folder) as container:
        container.submit(["/bench/bench_writer", kind, str(size), "/result/wrote"])
        reader = Reader(container.port)
        pid = process_of(container.name)
        before = cpu_seconds(pid)
        # Asked while the process is there: a runner whose output was read exits by itself.
        samples = [before]
        done = threading.Event()

        def sample() -> None:
            while not done.wait(0.02):
                try:
                    samples.append(cpu_seconds(pid))
                except (OSError, IndexError):
                    return

        sampler = threading.Thread(target=sample)
        sampler.start()
        container.post("/api/run")
        _, last, received = reader.result()
        done.set()
        sampler.join()
        start, end, _ = (int(word) for word in (folder / "wrote").read_text().split())
        log = folder / "runner" / "job.log"
        assert received == log.stat().st_size, f"the reader got {received} of {log.stat().st_size} bytes"
        return (end - start) / 1e9, (last - start) / 1e9, max(samples) - before, digest(log)


def measure_speed(bench: Bench) -> Iterator[Figure]:
    for kind, name in KINDS.items():
        size = bench.sizes.output * 10**6 // (100 if kind == "bytes" else 1)
        job = Figure(f"output, {name}: the job", "MB/s", ratio(0.95, at_least=True))
        reader = Figure(f"output, {name}: at a reader", "MB/s", ratio(0.95, at_least=True))
        cpu = Figure(f"CPU for output, {name}", "s/GB", ratio(1.5 if kind in ("plain", "utf8") else 2))
        for _ in range(bench.sizes.slow_pairs):
            with bench.work() as folder:
                bare_seconds, bare_cpu, bare_hash = bare(folder, kind, size)
                job_seconds, reader_seconds, runner_cpu, runner_hash = through_runner(bench, folder, kind, size)
            assert bare_hash == runner_hash, f"{name}: the runner's log differs from what the loop read"
            speed = size / 1e6
            job.add(speed / job_seconds, speed / bare_seconds)
            # Of the job's own speed, whose share of the loop's is the row above.
            reader.add(speed / reader_seconds, speed / job_seconds)
            cpu.add(runner_cpu / size * 1e9, max(bare_cpu, 0.001) / size * 1e9)
        yield from (job, reader, cpu)


def seconds_unread(bench: Bench, folder: Path, kind: str, size: int) -> float:
    """Of the job, whose output nobody reads."""
    wrote = folder / "wrote"
    with bench.runner(folder) as container:
        container.start(["/bench/bench_writer", kind, str(size), "/result/wrote"])
        while not wrote.exists() or len(wrote.read_text().split()) < 3:
            time.sleep(0.02)
        start, end, _ = (int(word) for word in wrote.read_text().split())
    return (end - start) / 1e9


def measure_speed_unread(bench: Bench) -> Iterator[Figure]:
    """What the runner alone costs the job: of two cores a reader's transfer takes its part."""
    for kind in ("plain", "progress"):
        size = bench.sizes.output * 10**6
        figure = Figure(f"output, {KINDS[kind]}: the job, without a reader", "MB/s", ratio(0.95, at_least=True))
        for _ in range(bench.sizes.slow_pairs):
            with bench.work() as folder:
                bare_seconds, _, _ = bare(folder, kind, size)
                (folder / "wrote").unlink()
                figure.add(size / 1e6 / seconds_unread(bench, folder, kind, size), size / 1e6 / bare_seconds)
        yield figure


def measure_delay(bench: Bench) -> Iterator[Figure]:
    limits = {"median": 0.3, "99th percentile": 1, "maximum": 10}
    figures = {name: Figure(f"line to a live reader, {name}", "ms", at_most(limit)) for name, limit in limits.items()}
    with bench.work() as folder, bench.runner(folder) as container:
        container.submit(["/bench/bench_writer", "stamps", str(bench.sizes.stamps), "/result/wrote"])
        reader = Reader(container.port, "--delays", str(folder / "delays"))
        container.post("/api/run")
        reader.result()
        delays = sorted(int(line) / 1e6 for line in (folder / "delays").read_text().split())
    assert len(delays) == bench.sizes.stamps
    figures["median"].add(statistics.median(delays))
    figures["99th percentile"].add(delays[len(delays) * 99 // 100])
    figures["maximum"].add(delays[-1])
    yield from figures.values()


def timed_pull(container: RunnerContainer) -> tuple[float, int]:
    began = time.perf_counter()
    answer = container.session.get(f"{container.url}/api/pull?timestamp=0", timeout=30)
    return (time.perf_counter() - began) * 1000, len(answer.content)


def measure_pages(bench: Bench) -> Iterator[Figure]:
    """/api/pull of what a job has written, while it still runs."""
    size = 25_000_000
    figure = Figure("/api/pull of a page of 16 MiB", "ms", at_most(60))
    with bench.work() as folder, bench.runner(folder, "-v", "/bin/busybox:/bin/sh:ro") as container:
        container.start(["/bin/sh", "-c", f"/bench/bench_writer plain {size} /result/wrote; exec sleep 600"])
        while len(container.pull()["job_logs"]) == 0 or not (folder / "wrote").exists():
            time.sleep(0.01)
        for _ in range(max(bench.sizes.pairs, 9)):
            took, length = timed_pull(container)
            assert length > size / 2
            figure.add(took)
    yield figure


def measure_short_pages(bench: Bench) -> Iterator[Figure]:
    figure = Figure("/api/pull of one line", "ms", at_most(0.3))
    with bench.work() as folder, bench.runner(folder, "-v", "/bin/busybox:/bin/sh:ro") as container:
        container.start(["/bin/sh", "-c", "echo one line; exec sleep 600"])
        while len(container.pull()["job_logs"]) == 0:
            time.sleep(0.01)
        for _ in range(bench.sizes.pairs):
            nanoseconds, _ = bench.run("requests", container.port, "/api/pull?timestamp=0", 1, 0.3).split()
            figure.add(int(nanoseconds) / 1e6)
    yield figure


def most_memory(pid: int, readers: list[Reader]) -> float:
    """MB of the runner, while any of them reads."""
    samples = []
    while any(reader.process.poll() is None for reader in readers):
        try:
            samples.append(memory(pid))
        except (OSError, AssertionError):
            # A runner whose output was read exits by itself.
            break
        time.sleep(0.02)
    return max(samples)


def measure_memory(bench: Bench) -> Iterator[Figure]:
    with bench.work() as folder, bench.runner(folder) as container:
        pid = process_of(container.name)
        yield Figure("runner's memory, idle", "MB", at_most(4)).add(memory(pid))
        size = bench.sizes.output * 10**6
        container.submit(["/bench/bench_writer", "plain", str(size), "/result/wrote"])
        readers = [Reader(container.port) for _ in range(bench.sizes.readers)]
        peak = Figure(f"runner's memory at most, {bench.sizes.readers} readers of {bench.sizes.output} MB", "MB", at_most(6))
        container.post("/api/run")
        most = most_memory(pid, readers)
        sizes = {reader.result()[2] for reader in readers}
        assert len(sizes) == 1, f"the readers got different amounts: {sizes}"
        yield peak.add(most)
        yield Figure("readers of one job at once", "", shown()).add(len(readers))


def measure_memory_of_much_output(bench: Bench) -> Iterator[Figure]:
    """With one reader, while the job writes."""
    megabytes = max(bench.sizes.growing_output)
    with bench.work() as folder, bench.runner(folder) as container:
        pid = process_of(container.name)
        container.submit(["/bench/bench_writer", "plain", str(megabytes * 10**6), "/result/wrote"])
        reader = Reader(container.port)
        container.post("/api/run")
        most = most_memory(pid, [reader])
        reader.result()
    yield Figure(f"runner's memory at most, {megabytes} MB of output", "MB", at_most(4)).add(most)
