"""The lab's scenarios, for scripts/test --all. Most boot a virtual machine."""

import os
import subprocess

import pytest
import requests
from lab.images import DISTRIBUTIONS, folder_of, mirror
from support.processes import ROOT

pytestmark = [pytest.mark.long, pytest.mark.timeout(3 * 3600)]


@pytest.fixture(scope="module", autouse=True)
def what_the_lab_needs() -> None:
    if subprocess.run([ROOT / "scripts/setup", "lab"]).returncode != 0:
        pytest.skip("qemu is not installed, and cannot be")
    distribution = DISTRIBUTIONS["debian13"]
    if not (folder_of(distribution) / "complete").exists():
        try:
            requests.get(f"{mirror()}/dists/{distribution.suite}/Release", timeout=30).raise_for_status()
        except requests.RequestException as error:
            pytest.skip(f"there is no disk image, and no Debian mirror to make one from: {error}")


@pytest.mark.parametrize("scenario", ["smoke", "jobs", "volumes", "task_disk", "reboot", "cuts", "upgrade", "package", "fleet", "replay"])
def test_scenario_of_the_lab_passes(scenario):
    # A hundred flushes and two cuts take minutes; all of them an hour.
    environment = {**os.environ, "DSTACK_LAB_FLUSHES": "100", "DSTACK_LAB_CUTS": "2"}
    command = [ROOT / "scripts/lab", "run", scenario]
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.rstrip().endswith(" 0 failed"), done.stdout
