"""Commands on this machine, and how one that failed is reported."""

import subprocess


def run(*command, **more) -> subprocess.CompletedProcess:
    return checked(subprocess.run([str(part) for part in command], **{"capture_output": True, "text": True, **more}))


def checked(done: subprocess.CompletedProcess) -> subprocess.CompletedProcess:
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, done.args[:3]))} … failed with {done.returncode}:\n{done.stdout}\n{done.stderr}"[-4000:])
    return done
