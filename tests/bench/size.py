"""The programs' sizes."""

from collections.abc import Iterator

from bench.context import Bench
from bench.figures import Figure, at_most
from support.processes import RUNNER, SHIM


def measure_size(bench: Bench) -> Iterator[Figure]:
    for name, program, limit in (("shim", SHIM, 8), ("runner", RUNNER, 11)):
        yield Figure(f"size of the {name}", "MB", at_most(limit)).add(program.stat().st_size / 1e6)
