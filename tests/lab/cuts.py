"""The guest loses its power at 20 moments of a task's life (DSTACK_LAB_CUTS: how many)."""

import contextlib
import os
import threading
import time

import requests
from support.processes import wait_until
from support.ssh_client import make_key, public

from lab.calls import PATIENCE, Calls
from lab.context import IMAGE, Lab
from lab.guest import Disk, Guest, make_disk
from lab.volumes import BLANK, FOLDER, device, serial, volume

CUTS = int(os.environ.get("DSTACK_LAB_CUTS", "20"))
SUBMIT, TERMINATE = PHASES = ("submit", "terminate")
# A removal that was cut off is finished by the shim itself.
REMOVED = {"termination_reason": "removed"}


def cuts(lab: Lab) -> None:
    with lab.guest(Disk(make_disk(lab.folder / "volume", 400), serial(BLANK))) as guest:
        lab.install(guest)
        keys = guest.text("cat /home/user/.ssh/authorized_keys")
        key = public(make_key(lab.folder / "server-key"))
        spans = whole_life(guest, key)
        # The volume has been formatted, once for all lives.
        identity = guest.text(f"blkid -p -o value -s UUID {device(guest, BLANK)}")
        for number in range(CUTS):
            # By turns while the task is made and while it is ended: after a boot, making the container takes longest.
            phase = PHASES[number % 2]
            delay = spans[phase] * (number // 2) / ((CUTS + 1) // 2)
            with lab.check(f"cut {number + 1} of {CUTS}, {delay:.1f} s after {phase}") as notes:
                cut_in_life(guest, f"cut-{number}", key, phase, delay)
                notes.append(f"boot {guest.boot():.0f} s")
                calls = Calls(guest)
                notes.append(settle(calls))
                assert guest.text("cat /home/user/.ssh/authorized_keys") == keys
                assert guest.run(f"mountpoint -q {FOLDER}/data", check=False).returncode != 0
                assert guest.text("docker ps -aq") == ""
                assert guest.text("ls -A /root/.dstack/tasks /root/.dstack/runners | grep -v :$ || true") == ""
                assert guest.text(f"blkid -p -o value -s UUID {device(guest, BLANK)}") == identity
        with lab.check("a job after the last cut"):
            assert guest.text(f"dstack-shim run --image {IMAGE} --rm -- echo hello") == "hello"


def make(calls: Calls, task: str, key: str) -> None:
    calls.submit(task, **volume("data", BLANK), host_ssh_user="user", host_ssh_keys=[key])
    calls.wait_for(task, "running")


def whole_life(guest: Guest, key: str) -> dict[str, float]:
    """How long the making and the ending of a task take here, in seconds."""
    calls = Calls(guest)
    make(calls, "warm-up", key)
    calls.end("warm-up")
    started = time.monotonic()
    make(calls, "measured", key)
    runs = time.monotonic()
    calls.end("measured")
    return {SUBMIT: runs - started, TERMINATE: time.monotonic() - runs}


def cut_in_life(guest: Guest, task: str, key: str, phase: str, seconds: float) -> None:
    """The power fails so many seconds after the phase began, which the thread that drives the task then sees as a broken connection."""
    calls = Calls(guest)
    begun = threading.Event()

    def life() -> None:
        with contextlib.suppress(requests.RequestException, AssertionError):
            if phase == SUBMIT:
                begun.set()
            make(calls, task, key)
            begun.set()
            calls.end(task)

    living = threading.Thread(target=life)
    living.start()
    assert begun.wait(PATIENCE), f"{task} does not run"
    time.sleep(seconds)
    guest.cut_power()
    living.join()


def settle(calls: Calls) -> str:
    """What a server does after the host is back: it terminates and removes each task. Which reasons it found."""
    found = []
    for task in calls.ids():
        info = wait_until(lambda: ended(calls, task), f"the end of {task}", PATIENCE, pause=0.5)
        assert info["termination_reason"], info
        found.append(info["termination_reason"])
        if info != REMOVED:
            calls.end(task)
    return " ".join(found) or "no task"


def ended(calls: Calls, task: str) -> dict | None:
    """The task once it has ended."""
    answer = calls.get(f"/api/tasks/{task}")
    if answer.status_code == 404:
        return REMOVED
    assert answer.status_code == 200, answer.text
    return answer.json() if answer.json()["status"] == "terminated" else None
