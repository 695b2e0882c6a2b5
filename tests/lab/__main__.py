"""Checks both programs on virtual machines with a distribution's own systemd, cgroups, kernel and Docker.

    scripts/lab smoke [--on NAME]        boot, install, one job
    scripts/lab run SCENARIO [--on NAME] [--keep] [--earlier FOLDER]
    scripts/lab all                      every scenario on debian13, and smoke on the other distributions
    scripts/lab list                     the scenarios and the distributions

One line for each check; exit status 1 if one failed. --keep leaves the disks and the console's output. --earlier: the programs
that the scenario `upgrade` begins with, as dstack-shim-linux-amd64 and dstack-runner-linux-amd64; dstack's own (Go) are known as such.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from lab.accelerator import choose
from lab.images import DISTRIBUTIONS, LAB, image
from lab.context import Lab
from lab.cuts import cuts
from lab.fleet import fleet
from lab.jobs import jobs
from lab.package import package
from lab.reboot import reboot
from lab.replay import replay
from lab.report import Report
from lab.smoke import smoke
from lab.task_disk import task_disk
from lab.upgrade import upgrade
from lab.volumes import volumes

SCENARIOS = {scenario.__name__: scenario for scenario in (smoke, jobs, volumes, task_disk, reboot, cuts, upgrade, package, fleet, replay)}


def run(scenario: str, distribution: str, report: Report, arguments: argparse.Namespace) -> None:
    report.scenario = scenario if distribution == "debian13" else f"{scenario} on {distribution}"
    folder = Path(tempfile.mkdtemp(prefix=f"{scenario}-", dir=LAB))
    try:
        made = image(DISTRIBUTIONS[distribution])
        SCENARIOS[scenario](Lab(made, choose(made), folder, report, arguments.earlier))
    except (AssertionError, OSError, RuntimeError) as error:
        # What a scenario needs for its next checks.
        with report.check("the scenario goes to its end"):
            raise error
    finally:
        if arguments.keep:
            print(f"-- kept: {folder}", flush=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/lab", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["smoke", "run", "all", "list"])
    parser.add_argument("scenario", nargs="?", choices=SCENARIOS)
    parser.add_argument("--on", default="debian13", choices=DISTRIBUTIONS)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--earlier", type=Path)
    arguments = parser.parse_args()
    if (arguments.command == "run") != (arguments.scenario is not None):
        parser.error("`run` takes a scenario, the others do not")
    if arguments.command == "list":
        print("\n".join([f"{name}: {scenario.__doc__ or sys.modules[scenario.__module__].__doc__}" for name, scenario in SCENARIOS.items()]))
        print("on: " + " ".join(DISTRIBUTIONS))
        return 0
    os.umask(0o022)
    LAB.mkdir(parents=True, exist_ok=True)
    report = Report()
    if arguments.command == "all":
        for name in SCENARIOS:
            run(name, "debian13", report, arguments)
        for distribution in DISTRIBUTIONS:
            if distribution != "debian13":
                run("smoke", distribution, report, arguments)
    else:
        run(arguments.scenario or "smoke", arguments.on, report, arguments)
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.passed else 0


sys.exit(main())
