"""A job's code until it is there: a clone, an archive, a diff, an upload, beside git, tar and a bare write."""

import os
import random
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from bench.context import PROGRAMS, Bench
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


@contextmanager
def remote_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """Serves `folder`/repositories/code: its URL, and the certificate to trust."""
    authority = Authority(folder / "ca")
    with GitHttps(folder / "repositories", authority) as remote:
        yield f"{remote.url}/code", authority.certificate


def by_git(url: str, certificate: Path, target: Path) -> float:
    """Seconds of a clone."""
    command = ["git", "clone", "-q", "--recurse-submodules", "--branch", "main", url, target]
    return seconds(*command, env=ENVIRONMENT | {"GIT_SSL_CAINFO": str(certificate)})


def by_runner(folder: Path, url: str, certificate: Path, diff: Path | None = None) -> float:
    """Seconds of a job's start with a clone, and with the diff applied to it."""
    (folder / "by-runner").mkdir()
    options = ["-v", f"{folder}/by-runner:/workflow", "-v", f"{certificate}:/ca:ro", "-e", "SSL_CERT_FILE=/ca"]
    with RunnerContainer(scratch_image(folder), options=[*HOST_PROGRAMS, *options]) as container:
        container.wait_ready().submit(["sleep", "60"], repo_data={"repo_type": "remote", "repo_branch": "main"}, repo_credentials={"clone_url": url})
        if diff:
            with diff.open("rb") as body:
                container.session.post(f"{container.url}/api/upload_code", data=body, timeout=600).raise_for_status()
        took = seconds_until_running(container)
    return took


def measure_clone(bench: Bench) -> Iterator[Figure]:
    figure = Figure(f"clone of {bench.sizes.files} files", "s", ratio(1.0))
    with bench.work() as folder:
        make_repository(folder / "repositories" / "code", bench.sizes.files)
        with remote_of(folder) as (url, certificate):
            for _ in range(bench.sizes.slow_pairs):
                git_seconds = by_git(url, certificate, folder / "by-git")
                figure.add(by_runner(folder, url, certificate), git_seconds)
                shutil.rmtree(folder / "by-git")
                shutil.rmtree(folder / "by-runner")
    yield figure


def make_diff(folder: Path, megabytes: int, diff: Path) -> None:
    """Of new files of a megabyte and changes in one that is there."""
    lines, work = random.Random(2), folder / "changed"
    subprocess.run(["git", "clone", "-q", folder / "repositories" / "code", work], env=ENVIRONMENT, check=True)
    for number in range(megabytes):
        (work / f"new-{number}").write_text("".join(f"{lines.random()}\n" for _ in range(52_000)))
    subprocess.run(["git", "add", "-AN"], cwd=work, env=ENVIRONMENT, check=True)
    with diff.open("wb") as file:
        subprocess.run(["git", "diff", "--binary"], cwd=work, env=ENVIRONMENT, check=True, stdout=file)
    shutil.rmtree(work)


def measure_diff(bench: Bench) -> Iterator[Figure]:
    """With a clone of a few files, on both sides."""
    size = bench.sizes.diff
    figure = Figure(f"a diff of {size} MB applied", "s", ratio(1.0))
    with bench.work() as folder:
        make_repository(folder / "repositories" / "code", 10)
        make_diff(folder, size, folder / "diff")
        with remote_of(folder) as (url, certificate):
            for _ in range(bench.sizes.slow_pairs):
                git_seconds = by_git(url, certificate, folder / "by-git")
                git_seconds += seconds("git", "apply", "--whitespace=nowarn", folder / "diff", cwd=folder / "by-git", env=ENVIRONMENT)
                figure.add(by_runner(folder, url, certificate, folder / "diff"), git_seconds)
                assert len(list((folder / "by-runner").glob("new-*"))) == len(list((folder / "by-git").glob("new-*"))) == size
                shutil.rmtree(folder / "by-git")
                shutil.rmtree(folder / "by-runner")
    yield figure


@contextmanager
def receive_loop(target: Path) -> Iterator[int]:
    """Its port."""
    with subprocess.Popen([PROGRAMS / "bench_receive_loop", target], stdout=subprocess.PIPE, text=True) as loop:
        try:
            yield int(loop.stdout.readline())
        finally:
            loop.kill()


def upload(bench: Bench, port: int, file: Path) -> float:
    """Seconds."""
    return int(bench.run("upload", port, "/api/upload_archive", file)) / 1e9


def measure_upload(bench: Bench) -> Iterator[Figure]:
    """The same bytes over the same connection, so that what is measured is the receiver."""
    size = bench.sizes.upload
    figure = Figure(f"upload of {size} MB", "s", ratio(1.1))
    with bench.work() as folder:
        file, piece = folder / "file", random.Random(1).randbytes(10**6)
        with file.open("wb") as content:
            for _ in range(size):
                content.write(piece)
        with RunnerContainer(scratch_image(folder), options=["-v", f"{folder}/runner:/tmp/runner"]) as container, receive_loop(folder / "received") as bare:
            container.wait_ready().submit(["sleep", "60"], file_archives=[{"id": "a", "path": "/data/there"}])
            for _ in range(bench.sizes.pairs):
                received = upload(bench, bare, file)
                figure.add(upload(bench, container.port, file), received)
    yield figure


def measure_archive(bench: Bench) -> Iterator[Figure]:
    size = bench.sizes.megabytes
    figure = Figure(f"an archive of {size} MB unpacked", "s", ratio(0.8))
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
            options = [*HOST_PROGRAMS, "-v", f"{folder}/by-runner:/data", "-v", f"{folder}/runner:/tmp/runner"]
            with RunnerContainer(scratch_image(folder), options=options) as container:
                container.wait_ready().submit(["sleep", "60"], file_archives=[{"id": "a", "path": "/data/there"}])
                upload(bench, container.port, archive)
                os.sync()
                figure.add(seconds_until_running(container), by_tar)
            shutil.rmtree(folder / "by-tar")
            shutil.rmtree(folder / "by-runner")
            shutil.rmtree(folder / "runner")
    yield figure
