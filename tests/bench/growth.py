"""How cost grows with the work: ten times the work for at most twelve times the cost."""

from collections.abc import Iterator

from bench.context import IMAGE, Bench
from bench.figures import Figure, ratio
from bench.output import through_runner
from bench.start import call, end_all, start_of_shim, wait_until_running
from support.hosts import stand_in_runner


def measure_growth_of_output(bench: Bench) -> Iterator[Figure]:
    size = bench.sizes.output * 10**6
    figure = Figure(f"growth: {size / 1e7:g} to {size / 1e6:g} MB at a reader", "s", ratio(12))
    for _ in range(bench.sizes.slow_pairs):
        seconds = []
        for amount in (size // 10, size):
            with bench.work() as folder:
                seconds.append(through_runner(bench, folder, "plain", amount)[1])
        figure.add(seconds[1], seconds[0])
    yield figure


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
