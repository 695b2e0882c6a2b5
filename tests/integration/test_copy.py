"""dstack-shim cp: files between the host and a task's container, as docker cp copies them."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from support.person import Client


@pytest.fixture
def client(shim, image) -> Client:
    return Client(shim.port, image)


@pytest.fixture
def container(client) -> str:
    """The container of a task named job, with some files in it."""
    client.detach("job", "sleep 1000")
    container = client.list()["job"]["container_id"]
    inside(
        container,
        "mkdir -p /data/tree/sub; cd /data; echo one >file; echo two >tree/a; echo three >tree/sub/b; chmod 750 tree/sub; "
        "chmod 640 file; ln -s tree link; ln -s file filelink; ln -s sub/b tree/up; chown 12:34 tree/a; : >empty; "
        "mkdir full; echo old >full/kept; touch -d '2020-02-02 02:02:02' tree/a",
    )
    return container


def inside(container: str, script: str) -> str:
    return subprocess.run(["docker", "exec", container, "sh", "-c", script], check=True, capture_output=True, text=True).stdout


def listing(folder: Path) -> list[tuple]:
    """Everything below a folder: name, kind and mode, content or target; the owner."""
    found = []
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        mode = None if path.is_symlink() else oct(status.st_mode)
        found.append((str(path.relative_to(folder)), mode, content, status.st_uid, status.st_gid))
    return found


def prepared(folder: Path) -> Path:
    (folder / "dir").mkdir(parents=True)
    (folder / "dir/kept").write_text("kept")
    (folder / "old").write_text("old")
    (folder / "to-dir").symlink_to("dir")
    (folder / "to-old").symlink_to("old")
    (folder / "to-new").symlink_to("new")
    return folder


SOURCES = [
    ([], "/data/file"),
    ([], "data/empty"),
    ([], "/data/tree"),
    ([], "/data/tree/."),
    ([], "/data/link"),
    ([], "/data/link/"),
    ([], "/data/file/"),
    (["-L"], "/data/link"),
    (["-L"], "/data/filelink"),
    (["-a"], "/data/file"),
]
TARGETS = ["dir", "dir/", "old", "new", "new/", "missing/new", "to-dir", "to-old", "to-new", "."]


@pytest.mark.parametrize("target", TARGETS)
def test_what_arrives_on_the_host_is_what_docker_cp_makes(client, container, tmp_path, target):
    for number, (options, source) in enumerate(SOURCES):
        ours, theirs = prepared(tmp_path / f"{number}-ours"), prepared(tmp_path / f"{number}-docker")
        us = subprocess.run(client.command("cp", *options, f"job:{source}", target), cwd=ours, capture_output=True, text=True)
        docker = subprocess.run(["docker", "cp", *options, f"{container}:{source}", target], cwd=theirs, capture_output=True, text=True)
        assert us.returncode == docker.returncode, (source, us.stderr, docker.stderr)
        assert listing(ours) == listing(theirs), (source, us.stderr, docker.stderr)


def test_owners_are_the_callers_unless_they_are_kept(client, container, tmp_path):
    os.chown(tmp_path, 56, 78)
    for options, host, theirs in (([], (0, 0), "0 0"), (["-a"], (12, 34), "12 34")):
        assert client("cp", *options, "job:/data/tree/a", tmp_path / "a").returncode == 0
        assert ((tmp_path / "a").stat().st_uid, (tmp_path / "a").stat().st_gid) == host
        os.chown(tmp_path / "a", 12, 34)
        assert client("cp", *options, tmp_path / "a", "job:/data/full/a").returncode == 0
        assert inside(container, "stat -c '%u %g' /data/full/a").strip() == theirs


SENT = [
    ([], "file"),
    ([], "tree"),
    ([], "tree/."),
    ([], "link"),
    ([], "link/"),
    ([], "file/"),
    ([], "none"),
    ([], "ünï"),
    (["-L"], "link"),
    (["-L"], "filelink"),
    (["-a"], "tree"),
]


@pytest.mark.parametrize("target", ["/data/full", "/data/file", "/data/new", "/data/new/", "/none/new", "/data/link", "/"])
def test_what_arrives_in_the_container_is_what_docker_cp_makes(client, container, tmp_path, target):
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/a").write_text("new a")
    (tmp_path / "tree/sub/b").write_bytes(bytes(range(256)) * 1000)
    (tmp_path / "tree/sub/b").chmod(0o4751)
    (tmp_path / "tree/up").symlink_to("sub/b")
    (tmp_path / "file").write_text("new")
    (tmp_path / "link").symlink_to("tree")
    (tmp_path / "filelink").symlink_to("file")
    (tmp_path / "ünï").write_text("name")
    look = 'cd / && find data file tree link filelink ünï | sort | while read -r f; do stat -c \'%n %f %s %u %g\' "$f"; readlink "$f"; test -f "$f" && md5sum <"$f"; done 2>/dev/null; true'
    for options, source in SENT:
        states = []
        for command in (client.command("cp", *options, source, f"job:{target}"), ["docker", "cp", *options, source, f"{container}:{target}"]):
            inside(container, "rm -rf /keep; cp -a /data /keep")
            ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
            states.append((ended.returncode, inside(container, look)))
            inside(container, "rm -rf /data /file /tree /link /filelink /ünï; mv /keep /data")
        assert states[0] == states[1], (source, target)


def test_a_tar_archive_goes_both_ways(client, container):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("from/stdin")
        entry.size = 5
        tar.addfile(entry, io.BytesIO(b"hello"))
    ended = subprocess.run(client.command("cp", "-", "job:/data/full"), input=archive.getvalue(), capture_output=True)
    assert ended.returncode == 0, ended.stderr
    assert inside(container, "cat /data/full/from/stdin") == "hello"
    read = client("cp", "job:/data/tree", "-")
    assert read.returncode == 0
    with tarfile.open(fileobj=io.BytesIO(read.stdout)) as tar:
        assert sorted(tar.getnames()) == ["tree", "tree/a", "tree/sub", "tree/sub/b", "tree/up"]
    refused = subprocess.run(client.command("cp", "-", "job:/data/file"), input="", capture_output=True, text=True)
    assert refused.returncode == 1 and "must be a directory" in refused.stderr


def test_files_of_a_task_that_has_ended_can_be_had(client, container, tmp_path):
    client.text("stop", "-t", "0", "job")
    assert client("cp", "job:/data/tree/a", tmp_path / "a").returncode == 0
    assert (tmp_path / "a").read_text() == "two\n"


def test_a_large_tree_comes_whole(client, container, tmp_path):
    inside(container, "mkdir /big; cd /big; for i in $(seq 300); do mkdir -p d$i; echo $i >d$i/f; done; head -c 30000000 /dev/urandom >blob")
    assert client("cp", "job:/big", tmp_path / "big").returncode == 0
    assert client("cp", tmp_path / "big", "job:/again").returncode == 0
    sums = "find . -type f | sort | xargs md5sum | md5sum"
    assert inside(container, f"cd /big; {sums}") == inside(container, f"cd /again; {sums}")
    assert subprocess.run(["sh", "-c", sums], cwd=tmp_path / "big", capture_output=True, text=True).stdout == inside(container, f"cd /big; {sums}")


def test_a_container_cannot_write_elsewhere_on_the_host(client, container, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_text("safe")
    target = tmp_path / "target"
    (target / "tree").mkdir(parents=True)
    # What a first copy left there leads out, and a second one would go through it.
    (target / "tree/way").symlink_to(outside)
    inside(container, "mkdir /data/tree/way; echo bad >/data/tree/way/victim; cp /bin/busybox /data/tree/suid; chmod 6755 /data/tree/suid")
    ended = client("cp", "job:/data/tree", target)
    assert ended.returncode == 1 and b"way" in ended.stderr
    assert (outside / "victim").read_text() == "safe"
    inside(container, "rm -r /data/tree/way")
    (target / "tree/way").unlink()
    assert client("cp", "-a", "job:/data/tree", target).returncode == 0
    assert (target / "tree/suid").stat().st_mode & 0o7777 == 0o755


def test_what_cannot_be_copied_is_named_and_the_rest_is_there(client, container, tmp_path):
    inside(container, "mkfifo /data/tree/pipe")
    ended = client("cp", "job:/data/tree", tmp_path)
    assert ended.returncode == 1
    assert b"tree/pipe" in ended.stderr
    assert (tmp_path / "tree/sub/b").read_text() == "three\n"
    os.mkfifo(tmp_path / "tree/pipe")
    ended = client("cp", tmp_path / "tree", "job:/data/back")
    assert ended.returncode == 1 and b"back/pipe" in ended.stderr
    assert inside(container, "cat /data/back/sub/b") == "three\n"


@pytest.mark.parametrize(
    "arguments,reason",
    [
        (["job:/none", "x"], "could not find the file"),
        (["/none", "job:/"], "No such file"),
        (["absent:/x", "x"], "no task"),
        (["job:/data", "job:/x"], "between containers"),
        (["a", "./b:c"], "must be TASK:PATH"),
    ],
)
def test_what_it_cannot_do_is_said_in_one_line(client, container, tmp_path, arguments, reason):
    ended = subprocess.run(client.command("cp", *arguments), cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 1
    assert reason in ended.stderr and ended.stderr.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_what_was_copied_is_reported_unless_quiet(client, container, tmp_path):
    assert client("cp", "job:/data/file", tmp_path / "file").stderr.decode().endswith(f" to {tmp_path}/file\n")
    assert client("cp", "-q", tmp_path / "file", "job:/data/file").stderr == b""
