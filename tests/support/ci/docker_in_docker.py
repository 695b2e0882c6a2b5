"""A stand-in of the image of dstack's runs with `docker: true`, and a machine that runs it privileged as far as this one lets it."""

import json
import shutil
import subprocess
from pathlib import Path

from support.images import image_with
from support.machine import Machine
from support.processes import wait_until
from support.runner_container import docker

FOLDER = Path(__file__).parent
DIND_IMAGE = "dstack-test-dind:1"
PROGRAMS = ("docker", "dockerd", "containerd", "containerd-shim-runc-v2", "runc", "docker-init", "docker-proxy", "iptables", "ip6tables", "kmod")
# The one that stands in for gitlab-runner needs it.
PYTHON = "/usr/bin/python3"
# As the real one: it returns when dockerd answers.
START_DOCKERD = """#!/bin/bash
mkdir -p /var/log /var/run /tmp
dockerd >/var/log/dockerd.log 2>&1 </dev/null &
for look in $(seq 100); do
    if docker version >/dev/null 2>&1; then exit 0; fi
    sleep 0.2
done
tail -n 20 /var/log/dockerd.log
exit 102
"""
JOB_IMAGES = "/images.tar"  # in the image: what a job's container is made of


def python_files() -> list[str]:
    """This machine's own Python with its library."""
    said = subprocess.run([PYTHON, "-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"], check=True, capture_output=True, text=True)
    return [PYTHON, said.stdout.strip()]


def docker_in_docker(folder: Path, base: str, job_image: str) -> str:
    """The image with this machine's Docker, the stand-in of gitlab-runner, and the image of a job as a file."""
    root = folder / "dind"
    binaries = root / "usr/local/bin"
    binaries.mkdir(parents=True)
    (binaries / "start-dockerd").write_text(START_DOCKERD)
    (binaries / "start-dockerd").chmod(0o755)
    shutil.copy(FOLDER / "gitlab-runner", binaries)
    (root / "usr/bin").mkdir()
    (root / "usr/bin/env").symlink_to("/bin/env")
    docker("save", "-o", str(root / JOB_IMAGES.lstrip("/")), job_image)
    programs = [path for name in PROGRAMS if (path := shutil.which(name))]
    made = image_with(base, DIND_IMAGE, ["/bin/bash", *programs, *python_files(), *map(str, Path("/usr/lib").glob("*/xtables"))])
    container = docker("create", made, "true").strip()
    try:
        docker("cp", f"{root}/.", f"{container}:/")
        path = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        docker("commit", "--change", "VOLUME /var/lib/docker", "--change", path, container, DIND_IMAGE)
    finally:
        docker("rm", container)
    return DIND_IMAGE


def allow_privileged(machine: Machine) -> None:
    """Containers that want every capability get those that this machine has."""
    runtime = "/usr/local/bin/lenient-runc"
    machine.write(runtime, (FOLDER / "lenient_runc").read_text(), 0o755)
    settings = {"default-runtime": "lenient", "runtimes": {"lenient": {"path": runtime}}}
    machine.write("/etc/docker/daemon.json", json.dumps(settings))
    machine.run("kill", "-HUP", "1")

    def is_set() -> bool:
        return machine.run("docker", "info", "--format", "{{.DefaultRuntime}}").stdout.strip() == "lenient"

    wait_until(is_set, "the other runtime", 30, pause=0.2)
