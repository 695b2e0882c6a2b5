"""API v1, judged by the clients of servers that spoke it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("DSTACK_CACHE_DIR", Path.home() / ".cache/dstack-shim"))
SCRIPT = Path(__file__).resolve().parents[1] / "support/old_client.py"


def python_with_dstack(version: str) -> Path:
    """A virtual environment of its own for each version, made once."""
    environment = CACHE / f"venv-dstack-{version}"
    if not (environment / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", environment], check=True)
        subprocess.run([environment / "bin/pip", "install", "--quiet", f"dstack=={version}"], check=True)
        (environment / "complete").touch()
    return environment / "bin/python"


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("version", ["0.16.3", "0.18.33"])
def test_an_old_client_submits_waits_and_stops(shim, image, version):
    run = subprocess.run(
        [python_with_dstack(version), SCRIPT, version, str(shim.port), image], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr + shim.log()
    seen = json.loads(run.stdout)
    assert seen["health"] == "dstack-shim"
    assert seen["before"] == "pending"
    # The first generation raises for a second one, the next answers False.
    assert seen["second"] == (409 if version == "0.16.3" else False)
    assert seen["after"] == "pending"
    assert seen["end"] == {"state": "pending", "result": {"reason": "terminated_by_server", "reason_message": ""}}
