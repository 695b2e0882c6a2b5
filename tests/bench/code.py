"""A job's code until it is there: a clone, an archive, a diff, an upload, beside git, tar and a bare write."""

import os
import random
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from bench.context import Bench
from bench.figures import Figure, ratio
from support.git_remotes import ENVIRONMENT, Authority, GitHttps, Repository
from support.runner_container import HOST_PROGRAMS, RunnerContainer, scratch_image


def seconds_until_running(container: RunnerContainer) -> float:
    began = time.perf_counter()
    container.post("/api/run")
    while not (states := container.pull()["job_states"]):
        time.sleep(0.002)
    took = time.perf_counter() - began
    assert states[0]["state"] == "running", states
    return took


def seconds(*command, **more) -> float:
    began = time.perf_counter()
    subprocess.run([str(word) for word in command], check=True, **more)
    return time.perf_counter() - began


def make_repository(folder: Path, files: int) -> None:
    repository, words = Repository(folder), random.Random(1)
    for number in range(files):
        path = folder / f"{number % 97}" / f"{number % 13}" / f"file-{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{words.random()}\n" for _ in range(words.randrange(200))))
    repository.commit()
    subprocess.run(["git", "repack", "-adq"], cwd=folder, env=ENVIRONMENT, check=True)


def measure_clone(bench: Bench) -> Iterator[Figure]:
    figure = Figure(f"clone of {bench.sizes.files} files", "s", ratio(1.0))
    with bench.work() as folder:
        make_repository(folder / "repositories" / "code", bench.sizes.files)
        authority = Authority(folder / "ca")
        with GitHttps(folder / "repositories", authority) as remote:
            url = f"{remote.url}/code"
            for _ in range(bench.sizes.slow_pairs):
                command = ["git", "clone", "-q", "--recurse-submodules", "--branch", "main", url, folder / "by-git"]
                by_git = seconds(*command, env=ENVIRONMENT | {"GIT_SSL_CAINFO": str(authority.certificate)})
                (folder / "by-runner").mkdir()
                options = ["-v", f"{folder}/by-runner:/workflow", "-v", f"{authority.certificate}:/ca:ro", "-e", "SSL_CERT_FILE=/ca"]
                with RunnerContainer(scratch_image(folder), options=[*HOST_PROGRAMS, *options]) as container:
                    container.wait_ready().submit(
                        ["sleep", "60"],
                        repo_data={"repo_type": "remote", "repo_branch": "main"},
                        repo_credentials={"clone_url": url},
                    )
                    figure.add(seconds_until_running(container), by_git)
                shutil.rmtree(folder / "by-git")
                shutil.rmtree(folder / "by-runner")
    yield figure


def upload(container: RunnerContainer, path: str, field: str, file: Path) -> float:
    """Seconds."""

    def body():
        yield f"--x\r\nContent-Disposition: form-data; name={field}; filename=a\r\n\r\n".encode()
        with file.open("rb") as data:
            while block := data.read(1 << 20):
                yield block
        yield b"\r\n--x--\r\n"

    began = time.perf_counter()
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    container.session.post(container.url + path, data=body(), headers=headers, timeout=600).raise_for_status()
    return time.perf_counter() - began


def bare_write(source: Path, target: Path) -> float:
    """The same bytes read, written and flushed."""
    began = time.perf_counter()
    with source.open("rb") as data, target.open("wb") as file:
        while block := data.read(1 << 20):
            file.write(block)
    took = time.perf_counter() - began
    target.unlink()
    return took


def measure_archive(bench: Bench) -> Iterator[Figure]:
    size = bench.sizes.megabytes
    sending = Figure(f"upload of {size} MB", "s", ratio(1.1))
    unpacking = Figure(f"an archive of {size} MB unpacked", "s", ratio(0.8))
    with bench.work() as folder:
        archive, piece = folder / "archive.tar", random.Random(1).randbytes(10**6)
        with tarfile.open(archive, "w") as tar:
            for number in range(size):
                header = tarfile.TarInfo(f"root/{number}")
                header.size = len(piece)
                tar.addfile(header, BytesIO(piece))
        for _ in range(bench.sizes.slow_pairs):
            (folder / "by-tar").mkdir()
            (folder / "by-runner").mkdir()
            os.sync()
            by_tar = seconds("tar", "-xf", archive, "-C", folder / "by-tar")
            written = bare_write(archive, folder / "copy")
            options = [*HOST_PROGRAMS, "-v", f"{folder}/by-runner:/data", "-v", f"{folder}/runner:/tmp/runner"]
            with RunnerContainer(scratch_image(folder), options=options) as container:
                container.wait_ready().submit(["sleep", "60"], file_archives=[{"id": "a", "path": "/data/there"}])
                sending.add(upload(container, "/api/upload_archive", "archive", archive), written)
                os.sync()
                unpacking.add(seconds_until_running(container), by_tar)
            shutil.rmtree(folder / "by-tar")
            shutil.rmtree(folder / "by-runner")
            shutil.rmtree(folder / "runner")
    yield from (sending, unpacking)
