"""Runs in the virtual environment of an old dstack: drives a shim with that version's own client, and says what it saw.

    old_client.py VERSION PORT IMAGE
"""

import json
import sys
import time

import requests
from dstack._internal.server.services.runner.client import ShimClient

version, port, image = sys.argv[1], int(sys.argv[2]), sys.argv[3]
client = ShimClient(port)


def submit() -> object:
    if version == "0.16.3":
        return client.submit("", "", image, None)
    return client.submit("", "", image, False, "legacy-job", None, None, ["ssh-ed25519 AAAA person"], "", "", [], [], [])


def state() -> str:
    return requests.get(f"http://localhost:{port}/api/pull", timeout=9).json()["state"]


def wait_for(wanted: str) -> None:
    deadline = time.monotonic() + 30
    while state() != wanted:
        assert time.monotonic() < deadline, f"{state()} instead of {wanted}"
        time.sleep(0.02)


seen = {"health": client.healthcheck().service, "before": state(), "submitted": submit()}
wait_for("running")
client.pull()
try:
    seen["second"] = submit()
except requests.HTTPError as error:
    seen["second"] = error.response.status_code
seen["stopped"] = client.stop(force=True)
seen["after"] = state()
# The finished one makes way.
seen["third"] = submit()
wait_for("running")
client.stop(force=True)
seen["end"] = requests.get(f"http://localhost:{port}/api/pull", timeout=9).json()
print(json.dumps(seen))
