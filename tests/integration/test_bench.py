"""The bench at its smallest: every figure can be measured. None is judged by its value here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bench.old_and_new import Comparison
from support.processes import ROOT, SHIM

pytestmark = [
    pytest.mark.release,
    pytest.mark.skipif(not (ROOT / "build/dev/tests/bench").exists(), reason="needs the programs of the debug build with tests"),
]


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


@pytest.mark.unprivileged
@pytest.mark.parametrize(
    ("new", "more_is_better", "worse"),
    [
        ([1.04] * 10, False, True),
        ([1.04] * 9 + [0.5], False, True),
        ([1.04] * 8 + [0.5] * 2, False, False),  # worse in eight rounds only
        ([1.02] * 10, False, False),  # within the tolerance
        ([0.5] * 10, False, False),
        ([0.96] * 10, True, True),
        ([1.04] * 10, True, False),
    ],
)
def test_a_build_is_worse_by_nine_rounds_of_ten_and_its_median(new, more_is_better, worse):
    comparison = Comparison("request", "ms", more_is_better, old=[1.0] * 10, new=new)
    assert comparison.is_worse() == worse


def test_two_builds_are_measured_in_turn(tmp_path: Path):
    command = [sys.executable, "-m", "bench", "--old", SHIM.parent, "--only", "size."]
    done = subprocess.run(command, cwd=ROOT / "tests", env={**os.environ, "PYTHONPATH": str(ROOT / "tests")}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [line.split("|") for line in done.stdout.splitlines()]
    assert [row[1].strip() for row in rows[2:]] == ["size of the shim", "size of the runner"]
    assert all(row[4].strip() == "1.000 ×" and row[5].strip() == "0 of 10" for row in rows[2:]), done.stdout
