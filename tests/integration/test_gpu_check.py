"""scripts/gpu-check, on whatever machine this is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.processes import ROOT, SHIM

pytestmark = pytest.mark.unprivileged

NODES = ["/dev/nvidiactl", "/dev/dxg", "/dev/tenstorrent", "/dev/kfd", "/dev/accel"]


def gpu_check(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, ROOT / "scripts/gpu-check", *arguments], capture_output=True, text=True, timeout=300)


def test_it_says_what_it_found():
    result = gpu_check("--shim", SHIM)
    if any(os.path.exists(node) for node in NODES):
        assert result.returncode == 0, result.stdout
        assert "All agrees." in result.stdout
    else:
        assert result.returncode == 3
        assert result.stdout.startswith("No GPU on this machine")


def test_without_the_program_nothing_is_tried(tmp_path: Path):
    result = gpu_check("--shim", tmp_path / "missing")
    assert result.returncode == 2
    assert "missing" in result.stderr
