"""How cost grows with the work: ten times the work for at most twelve times the cost."""

import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise

from bench.code import by_runner, make_repository, remote_of
from bench.context import IMAGE, Bench
from bench.figures import Figure, ratio
from bench.output import Reader, through_runner
from bench.start import call, end_all, start_of_shim, wait_until_running
from support.hosts import stand_in_runner


def steps(name: str, unit: str, amounts: list, cost: Callable[[object], float], rounds: int) -> Iterator[Figure]:
    """A figure for each of `amounts` beside the one before, which is a tenth of it. `name` has places for both."""
    costs = [[cost(amount) for amount in amounts] for _ in range(rounds)]
    for number, (few, many) in enumerate(pairwise(amounts)):
        figure = Figure(name.format(few, many), unit, ratio(12))
        for each in costs:
            figure.add(each[number + 1], each[number])
        yield figure


def measure_growth_of_output(bench: Bench) -> Iterator[Figure]:
    def cost(megabytes: int) -> float:
        with bench.work() as folder:
            return through_runner(bench, folder, "plain", megabytes * 10**6)[1]

    yield from steps("growth: {} to {} MB at a reader", "s", bench.sizes.growing_output, cost, min(bench.sizes.slow_pairs, 3))


def measure_growth_of_readers(bench: Bench) -> Iterator[Figure]:
    """Until the last reader of one job has everything."""
    size = bench.sizes.output * 10**6 // 10

    def cost(count: int) -> float:
        with bench.work() as folder, bench.runner(folder) as container:
            container.submit(["/bench/bench_writer", "plain", str(size), "/result/wrote"])
            readers = [Reader(container.port) for _ in range(count)]
            container.post("/api/run")
            last = max(reader.result()[1] for reader in readers)
            return (last - int((folder / "wrote").read_text().split()[0])) / 1e9

    yield from steps("growth: {} to {} readers of " + f"{size / 1e6:g} MB", "s", bench.sizes.growing_readers, cost, bench.sizes.slow_pairs)


def measure_growth_of_clone(bench: Bench) -> Iterator[Figure]:
    with bench.work() as folder:

        def cost(files: int) -> float:
            place = folder / str(files)
            if not place.exists():
                make_repository(place / "repositories" / "code", files)
            with remote_of(place) as (url, certificate):
                took = by_runner(place, url, certificate)
            # Only the repository is used again.
            shutil.rmtree(place / "by-runner")
            shutil.rmtree(place / "ca")
            return took

        yield from steps("growth: a clone of {} to {} files", "s", bench.sizes.growing_files, cost, min(bench.sizes.slow_pairs, 3))


def measure_growth_of_restore(bench: Bench) -> Iterator[Figure]:
    many = max(bench.sizes.tasks, 10)
    figure = Figure(f"growth: start of the shim with {many // 10} to {many} tasks", "ms", ratio(12))
    with bench.work() as folder:
        runner = stand_in_runner(folder / "runner", "exec sleep 1000")
        homes = {}
        for count in (many // 10, many):
            homes[count] = folder / f"home-{count}"
            with bench.shim(homes[count], runner) as shim:
                for number in range(count):
                    call(shim.port, "POST", "/api/tasks", {"id": f"{count}-{number}", "name": f"bench-{number}", "image_name": IMAGE})
                for number in range(count):
                    wait_until_running(shim, f"{count}-{number}")
                shim.kill()
        starts = [start_of_shim(bench, homes[count], runner, count, 0).ours for count in homes]
        for few, all_ in zip(*starts, strict=True):
            figure.add(all_, few)
        for home in homes.values():
            with bench.shim(home, runner) as shim:
                end_all(shim)
    yield figure
