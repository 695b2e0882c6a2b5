"""Uploads and archives without measure: memory stays small, and the disk is what there is."""

import gzip
import io
import tarfile

import pytest
from support.processes import wait_until
from support.runner_container import HOST_PROGRAMS, RunnerContainer, docker, scratch_image

pytestmark = pytest.mark.release

MIB = 1 << 20


def peak_memory(container: RunnerContainer) -> int:
    """The most that the runner ever held resident, in bytes."""
    pid = docker("inspect", "-f", "{{.State.Pid}}", container.name).strip()
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))


def upload(container: RunnerContainer, pieces) -> None:
    def body():
        yield b"--x\r\nContent-Disposition: form-data; name=archive; filename=id\r\n\r\n"
        yield from pieces
        yield b"\r\n--x--\r\n"

    answer = container.session.post(
        f"{container.url}/api/upload_archive",
        data=body(),
        headers={"Content-Type": "multipart/form-data; boundary=x"},
        timeout=600,
    )
    assert answer.status_code == 200, answer.text


@pytest.fixture
def runner(tmp_path):
    options = [*HOST_PROGRAMS, "--tmpfs", "/small:size=64m", "--tmpfs", "/large:size=2g"]
    with RunnerContainer(scratch_image(tmp_path), options=options) as container:
        yield container.wait_ready()


@pytest.mark.long
def test_an_upload_of_2_gib_takes_no_memory(runner):
    runner.submit(["true"])
    before = peak_memory(runner)
    block = bytes(MIB)
    upload(runner, (block for _ in range(2048)))
    answer = runner.session.post(f"{runner.url}/api/upload_code", data=(block for _ in range(256)), timeout=600)
    assert answer.status_code == 200
    assert peak_memory(runner) - before < 8 * MIB


def test_a_gzip_bomb_ends_at_the_disk_and_leaves_it_free(runner):
    runner.submit(["true"], file_archives=[{"id": "id", "path": "/small/data"}])
    packed = io.BytesIO()
    with gzip.open(packed, "wb", compresslevel=1) as file:
        header = tarfile.TarInfo("root")
        header.size = 1024 * MIB
        file.write(header.tobuf())
        for _ in range(1024):
            file.write(bytes(MIB))
    upload(runner, [packed.getvalue()])
    before = peak_memory(runner)
    runner.post("/api/run")
    runner.wait_over(60)
    assert peak_memory(runner) - before < 16 * MIB
    assert docker("exec", runner.name, "/bin/bash", "-c", "shopt -s nullglob dotglob; echo /small/*").strip() == ""
    end = runner.result().end
    assert end["termination_reason"] == "executor_error"
    assert "No space left on device" in end["termination_message"]


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_million_entries_take_no_memory(runner):
    runner.submit(["sleep", "600"], file_archives=[{"id": "id", "path": "/large/data"}])

    def pieces():
        packed = io.BytesIO()
        with gzip.open(packed, "wb", compresslevel=1) as file:
            for number in range(1_000_000):
                header = tarfile.TarInfo(f"root/{number % 1000}/{number}")
                file.write(header.tobuf())
                if packed.tell() > MIB:
                    yield packed.getvalue()
                    packed.seek(0)
                    packed.truncate()
        yield packed.getvalue()

    upload(runner, pieces())
    before = peak_memory(runner)
    runner.post("/api/run")
    wait_until(lambda: runner.pull()["job_states"], "the job's start", 900)
    assert runner.pull()["job_states"][0]["state"] == "running"
    assert peak_memory(runner) - before < 16 * MIB
