"""The bench at its smallest: every figure can be measured. None is judged by its value here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.processes import ROOT

pytestmark = pytest.mark.skipif(not (ROOT / "build/dev/tests/bench").exists(), reason="needs the programs of the debug build with tests")


@pytest.mark.timeout(600)
def test_every_figure_of_the_bench_can_be_measured(tmp_path: Path):
    command = [sys.executable, "-m", "bench", "--short", "--output", tmp_path / "figures.json"]
    done = subprocess.run(command, cwd=ROOT / "tests", env={**os.environ, "PYTHONPATH": str(ROOT / "tests")}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    measured = json.loads((tmp_path / "figures.json").read_text())
    assert measured["failures"] == []
    figures = {figure["name"]: figure for figure in measured["figures"]}
    assert len(figures) == len(measured["figures"]), "two figures have the same name"
    for name, figure in figures.items():
        assert figure["ours"] and all(isinstance(value, int | float) for value in figure["ours"]), name
        # A baseline is measured as often as what stands beside it.
        assert len(figure["beside"]) in (0, len(figure["ours"])), name
        assert name in done.stdout
