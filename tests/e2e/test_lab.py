"""The lab's scenarios, for scripts/test --all. Each boots a virtual machine."""

import subprocess

import pytest
from support.processes import ROOT

pytestmark = [pytest.mark.long, pytest.mark.timeout(3 * 3600)]


@pytest.mark.parametrize("scenario", ["smoke"])
def test_scenario_of_the_lab_passes(scenario):
    done = subprocess.run([ROOT / "scripts/lab", "run", scenario], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    assert done.stdout.rstrip().endswith(" 0 failed"), done.stdout
