"""Measures both programs beside what limits them, and prints one table.

    scripts/bench [--full | --short] [--only NAME] [--against FILE] [--output FILE]
    scripts/bench --old FOLDER [--only NAME]

A figure that cannot be measured makes the exit status 1; one that is missed does not: it stands in the table.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from datetime import datetime, timezone
from pathlib import Path

from bench import code, flushes, growth, http_requests, idle, many, old_and_new, output, pull, size, ssh, start
from bench.context import FULL, IMAGE, ROUND, SHORT, SMALL, Bench, Sizes
from bench.figures import Figure
from bench.table import against, table
from support.processes import RUNNER, SHIM

MODULES = (size, output, idle, start, flushes, many, http_requests, pull, code, ssh, growth)
MEASURES = {
    f"{module.__name__.removeprefix('bench.')}.{name.removeprefix('measure_')}": measure
    for module in MODULES
    for name, measure in vars(module).items()
    if name.startswith("measure_") and measure.__module__ == module.__name__ and measure.__code__.co_argcount == 1
}


def machine() -> dict:
    cpu = next((line.split(": ")[1] for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // 2**20
    docker = subprocess.run(["docker", "version", "-f", "{{.Server.Version}}"], capture_output=True, text=True).stdout.strip()
    return {
        "processor": f"{os.cpu_count()} × {cpu}",
        "memory": f"{memory} GiB",
        "kernel": platform.release(),
        "docker": docker,
        "load": os.getloadavg()[0],
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "programs": [subprocess.run([program, "--version"], capture_output=True, text=True).stdout.strip() for program in (SHIM, RUNNER)],
    }


def measure_all(bench: Bench, only: str | None) -> tuple[list[Figure], list[str]]:
    """The figures, and what could not be measured."""
    figures, failures = [], []
    for name, measure in MEASURES.items():
        if only and only not in name:
            continue
        began = time.monotonic()
        try:
            figures += list(measure(bench))
        except Exception:
            traceback.print_exc()
            failures.append(name)
        print(f"-- {name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return figures, failures


def sizes_for(options: argparse.Namespace) -> Sizes:
    if options.full:
        return FULL
    if options.short:
        return SHORT
    return ROUND if options.round else SMALL


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--full", action="store_true", help="every figure at its full size: hours")
    sizes.add_argument("--short", action="store_true", help="as small as can be: shows only that everything can be measured")
    sizes.add_argument("--round", action="store_true", help="each figure once, as --old does it")
    parser.add_argument("--only", metavar="NAME", help="measures with NAME in their name: " + ", ".join(MEASURES))
    parser.add_argument("--against", metavar="FILE", type=Path, help="compare with what --output wrote earlier")
    parser.add_argument("--output", metavar="FILE", type=Path, help="all pairs as JSON")
    parser.add_argument("--old", metavar="FOLDER", type=Path, help="another build's dist folder: its programs and these in turn, ten rounds")
    options = parser.parse_args()
    about = machine()
    subprocess.run(["docker", "pull", "--quiet", IMAGE], check=True, stdout=subprocess.DEVNULL)
    if options.old:
        print(old_and_new.table(old_and_new.compare((options.old / SHIM.name, options.old / RUNNER.name), (SHIM, RUNNER), options.only)))
        return 0
    with tempfile.TemporaryDirectory(prefix="dstack-bench-") as folder:
        bench = Bench(sizes_for(options), Path(folder))
        figures, failures = measure_all(bench, options.only)
    about["load at the end"] = os.getloadavg()[0]
    if options.output:
        data = {"machine": about, "figures": [figure.as_json() for figure in figures], "failures": failures}
        options.output.write_text(json.dumps(data, indent=1) + "\n")
    if figures:
        print(table(figures))
    if options.against:
        print()
        print(against(figures, Figure.read_all(options.against)))
    for name in failures:
        print(f"{name} could not be measured", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
