"""How long a job's code takes to be there, beside the git and the tar program on the same machine.

    python -m bench.repo [FILES] [MIB]      in tests/, with the Python of scripts/test

FILES in the repository that is cloned (50,000), MIB in the archive that is unpacked (1024).
"""

import io
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from support.git_remotes import ENVIRONMENT, Authority, GitHttps, Repository
from support.runner_container import HOST_PROGRAMS, RunnerContainer, docker, scratch_image


def seconds_until_running(container: RunnerContainer) -> float:
    started = time.perf_counter()
    container.post("/api/run")
    while not (states := container.pull()["job_states"]):
        time.sleep(0.005)
    took = time.perf_counter() - started
    assert states[0]["state"] == "running", states
    return took


def make_repository(folder: Path, files: int) -> None:
    repository, words = Repository(folder), random.Random(1)
    for number in range(files):
        path = folder / f"{number % 97}" / f"{number % 13}" / f"file-{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{words.random()}\n" for _ in range(words.randrange(200))))
    repository.commit()
    subprocess.run(["git", "repack", "-adq"], cwd=folder, env=ENVIRONMENT, check=True)


def clone(work: Path, files: int) -> None:
    make_repository(work / "repositories" / "code", files)
    authority = Authority(work / "ca")
    with GitHttps(work / "repositories", authority) as remote:
        url = f"{remote.url}/code"
        started = time.perf_counter()
        certificate = {"GIT_SSL_CAINFO": str(authority.certificate)}
        command = ["git", "clone", "-q", "--recurse-submodules", "--branch", "main", url, str(work / "by-git")]
        subprocess.run(command, env=ENVIRONMENT | certificate, check=True)
        by_git = time.perf_counter() - started
        (work / "by-runner").mkdir()
        options = ["-v", f"{work}/by-runner:/workflow", "-v", f"{authority.certificate}:/ca:ro", "-e", "SSL_CERT_FILE=/ca"]
        with RunnerContainer(scratch_image(work), options=[*HOST_PROGRAMS, *options]) as container:
            container.wait_ready().submit(
                ["sleep", "60"],
                repo_dir="/workflow",
                repo_data={"repo_type": "remote", "repo_branch": "main"},
                repo_credentials={"clone_url": url},
            )
            by_runner = seconds_until_running(container)
    print(f"clone of {files} files: git {by_git:.1f} s, runner {by_runner:.1f} s, {by_runner / by_git:.2f} times")


def upload(container: RunnerContainer, archive: Path) -> None:
    def body():
        yield b"--x\r\nContent-Disposition: form-data; name=archive; filename=a\r\n\r\n"
        with archive.open("rb") as file:
            while block := file.read(1 << 20):
                yield block
        yield b"\r\n--x--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = container.session.post(f"{container.url}/api/upload_archive", data=body(), headers=headers, timeout=600)
    answer.raise_for_status()


def unpack_by_tar(work: Path, archive: Path) -> tuple[float, float]:
    """Seconds, and seconds of CPU."""
    shutil.rmtree(work / "data", ignore_errors=True)
    (work / "data").mkdir()
    os.sync()
    before, started = os.times(), time.perf_counter()
    subprocess.run(["tar", "-xf", archive, "-C", work / "data"], check=True)
    took, after = time.perf_counter() - started, os.times()
    return took, after.children_user + after.children_system - before.children_user - before.children_system


def cpu_seconds(container: RunnerContainer) -> float:
    pid = docker("inspect", "-f", "{{.State.Pid}}", container.name).strip()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def unpack_by_runner(work: Path, archive: Path) -> tuple[float, float]:
    shutil.rmtree(work / "data", ignore_errors=True)
    (work / "data").mkdir()
    options = [*HOST_PROGRAMS, "-v", f"{work}/data:/data", "-v", f"{work}/runner:/tmp/runner"]
    with RunnerContainer(scratch_image(work), options=options) as container:
        container.wait_ready().submit(["sleep", "60"], file_archives=[{"id": "a", "path": "/data/there"}])
        upload(container, archive)
        os.sync()
        before = cpu_seconds(container)
        return seconds_until_running(container), cpu_seconds(container) - before


def unpack(work: Path, mib: int) -> None:
    piece = random.Random(1).randbytes(1 << 20)
    archive = work / "archive.tar"
    with tarfile.open(archive, "w") as tar:
        for number in range(mib):
            header = tarfile.TarInfo(f"root/{number}")
            header.size = len(piece)
            tar.addfile(header, io.BytesIO(piece))
    rounds = [(unpack_by_tar(work, archive), unpack_by_runner(work, archive)) for _ in range(3)]
    for what, index in (("time", 0), ("CPU", 1)):
        by_tar, by_runner = (min(figures[index] for figures in each) for each in zip(*rounds))
        print(f"archive of {mib} MiB, {what}: tar {by_tar:.2f} s, runner {by_runner:.2f} s, {by_runner / by_tar:.2f} times (best of 3)")


def main() -> None:
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    mib = int(sys.argv[2]) if len(sys.argv) > 2 else 1024
    if files:
        with tempfile.TemporaryDirectory() as folder:
            clone(Path(folder), files)
    with tempfile.TemporaryDirectory() as folder:
        unpack(Path(folder), mib)


if __name__ == "__main__":
    main()
