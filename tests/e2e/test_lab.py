"""The lab's scenarios, for scripts/test --all. Each boots a virtual machine."""

import os
import subprocess

import pytest
from support.processes import ROOT

pytestmark = [pytest.mark.long, pytest.mark.timeout(3 * 3600)]


@pytest.mark.parametrize("scenario", ["smoke", "replay"])
def test_scenario_of_the_lab_passes(scenario):
    # A hundred flushes take two minutes; all of them an hour.
    environment = {**os.environ, "DSTACK_LAB_FLUSHES": "100"}
    command = [ROOT / "scripts/lab", "run", scenario]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    assert done.returncode == 0, done.stdout
    assert done.stdout.rstrip().endswith(" 0 failed"), done.stdout
