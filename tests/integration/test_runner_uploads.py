"""Code and files on their way into a job: the uploads, where they land, whose they are, and what is refused."""

import io
import json
import subprocess
import tarfile
import uuid

import pytest
from dstack._internal.utils.files import create_file_archive
from support.runner_container import HOST_PROGRAMS, RunnerContainer, scratch_image


@pytest.fixture
def runner(tmp_path):
    """A runner in an image with nothing in it; programs of this machine beside it."""
    with RunnerContainer(scratch_image(tmp_path), options=HOST_PROGRAMS) as container:
        yield container.wait_ready()


def tar(**entries: str | None) -> bytes:
    """An archive of files by their contents; None is a folder."""
    return tar_of({name.replace("__", "/"): content for name, content in entries.items()})


def tar_of(entries: dict, mode: str = "w") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in entries.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo()
            info.name = name
            if content is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            if isinstance(content, str):
                info.size = len(content.encode())
                archive.addfile(info, io.BytesIO(content.encode()))
            else:
                archive.addfile(info)
    return file.getvalue()


def link(target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type, info.linkname = kind, target
    return info


class TestUploads:
    def post(self, runner, **more):
        return runner.post("/api/upload_archive", **more)

    @pytest.mark.parametrize(
        ("request_parts", "reason"),
        [
            ({"data": b"x"}, "missing content-type"),
            ({"data": b"x", "headers": {"Content-Type": "text/plain"}}, "multipart/form-data expected"),
            ({"data": b"x", "headers": {"Content-Type": "multipart/form-data"}}, "missing boundary"),
            ({"data": b"--b--\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}, "empty form"),
            ({"data": b"", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}, "empty form"),
            ({"files": {"other": ("id", b"x")}}, "unexpected field"),
            ({"files": {"archive": (None, b"x")}}, "missing file name"),
            ({"files": [("archive", ("a", b"x")), ("archive", ("b", b"x"))]}, "extra form field"),
            ({"files": {"archive": ("../../etc/passwd", b"x")}}, "../../etc/passwd"),
            ({"files": {"archive": ("..", b"x")}}, ".."),
        ],
    )
    def test_a_form_that_is_not_one_archive_is_refused(self, runner, request_parts, reason):
        runner.submit(["true"])
        answer = self.post(runner, **request_parts)
        assert answer.status_code == 400
        assert reason in answer.text
        # The connection is still good for the next request.
        assert runner.get("/api/healthcheck").ok

    def test_a_refused_upload_leaves_the_connection_or_closes_it_cleanly(self, runner):
        assert runner.post("/api/upload_code", data=b"x" * 5_000_000).status_code == 409
        assert runner.get("/api/healthcheck").ok
        runner.submit(["true"])
        assert self.post(runner, files={"other": ("id", b"x" * 5_000_000)}).status_code == 400
        assert runner.get("/api/healthcheck").ok

    def test_an_upload_after_the_run_is_refused(self, runner):
        runner.start(["sleep", "60"])
        assert self.post(runner, files={"archive": ("id", b"x")}).status_code == 409
        assert runner.post("/api/upload_code", data=b"x").status_code == 409


class TestCode:
    def test_a_local_repo_s_code_is_unpacked_into_its_folder(self, runner):
        runner.submit(
            ["bash", "-c", 'cat "$DSTACK_REPO_DIR/a/b" && stat -c %u:%g /workflow/code /workflow/code/a /workflow/code/a/b'],
            working_dir="/workflow",
            repo_dir="code",
            repo_data={"repo_type": "local"},
            user={"uid": 1234},
        )
        assert runner.post("/api/upload_code", data=tar(a=None, a__b="words\n")).status_code == 200
        runner.post("/api/run")
        assert runner.result().text == "words\n" + "1234:0\n" * 3

    @pytest.mark.parametrize("action", [None, "skip", "error"])
    def test_a_folder_with_content_is_left_alone_or_an_error(self, runner, action):
        runner.submit(["bash", "-c", "ls -1 /repo"], repo_dir="/repo", repo_data={"repo_type": "local"}, repo_exists_action=action)
        runner.post("/api/upload_code", data=tar(new="x"))
        subprocess.run(["docker", "cp", "-", f"{runner.name}:/"], input=tar(repo=None, repo__old="x"), check=True)
        runner.post("/api/run")
        result = runner.result()
        if action == "error":
            assert (result.end["state"], result.end["termination_reason"]) == ("failed", "container_exited_with_error")
            assert result.end["termination_message"] == "Failed to set up the repo (repo dir is not empty: /repo)"
        else:
            assert result.text == "old\n"

    def test_a_new_volume_counts_as_empty(self, runner):
        subprocess.run(["docker", "cp", "-", f"{runner.name}:/"], input=tar_of({"repo": None, "repo/lost+found": None}), check=True)
        runner.submit(["bash", "-c", "ls -1 /repo"], repo_dir="/repo", repo_data={"repo_type": "local"}, repo_exists_action="error")
        runner.post("/api/upload_code", data=tar(new="x"))
        runner.post("/api/run")
        assert runner.result().text == "lost+found\nnew\n"

    @pytest.mark.parametrize(
        "bad",
        [
            {"../outside": "x"},
            {"/outside": "x"},
            {"link": link("/"), "link/outside": "x"},
            {"outside": link("/usr/bin/env", tarfile.LNKTYPE)},
            {"outside": link("", tarfile.CHRTYPE)},
        ],
    )
    def test_an_archive_that_leads_outside_fails_the_job(self, runner, bad):
        runner.submit(["true"], repo_dir="/repo", repo_data={"repo_type": "local"})
        runner.post("/api/upload_code", data=tar_of(bad))
        runner.post("/api/run")
        end = runner.result().end
        assert (end["state"], end["termination_reason"]) == ("failed", "container_exited_with_error")
        assert end["termination_message"].startswith("Failed to set up the repo (")
        assert "outside" in end["termination_message"]
        assert runner.copy_out("/outside") == b""


class TestFiles:
    def run(self, runner, archives: dict[str, bytes], script: str, **more):
        ids = {path: str(uuid.uuid4()) for path in archives}
        runner.submit(["bash", "-c", script], file_archives=[{"id": ids[path], "path": path} for path in archives], **more)
        for path, content in archives.items():
            answer = runner.post("/api/upload_archive", files={"archive": (ids[path], content)})
            assert answer.status_code == 200, answer.text
        runner.post("/api/run")
        return runner.result()

    def test_each_archive_lands_at_its_path(self, runner):
        archives = {
            "/data/set": tar(root=None, root__a="one\n"),
            "relative": tar(single="two\n"),
            "~/.config/x y": tar_of({"z": None, "z/b": "three\n"}, "w:gz"),
            "/data/set/inner": tar(file="four\n"),
        }
        script = "cat /data/set/a relative ~/'.config/x y/b' /data/set/inner; stat -c %u /data /data/set /data/set/a relative"
        result = self.run(runner, archives, script, working_dir="/work", user={"uid": 77})
        assert result.text == "one\ntwo\nthree\nfour\n" + "77\n" * 4, result

    def test_what_the_client_packs_is_unpacked(self, runner, tmp_path):
        source = tmp_path / "source"
        (source / "sub").mkdir(parents=True)
        (source / "sub" / "ünï code").write_text("text")
        (source / "program").write_text("#!/bin/sh\necho ran\n")
        (source / "program").chmod(0o755)
        (source / "sub" / ".hidden").write_text("")
        file = io.BytesIO()
        create_file_archive(source, file)
        result = self.run(runner, {"/there": file.getvalue()}, "/there/program; cat '/there/sub/ünï code'; ls -A /there/sub/.hidden")
        assert result.text == "ran\ntext/there/sub/.hidden\n"

    def test_an_archive_replaces_what_was_there_but_never_the_home_or_the_runners_folder(self, runner):
        subprocess.run(
            ["docker", "cp", "-", f"{runner.name}:/"],
            input=tar_of({"data": None, "data/old": "x", "root": None, "root/old": "x"}),
            check=True,
        )
        archives = {path: tar(r=None, r__new="x") for path in ("/tmp", "/data", "~")}
        assert self.run(runner, archives, "ls -1 /data; ls -1 ~; ls -1 /tmp").text == "new\nnew\nold\nnew\nrunner\n"

    @pytest.mark.parametrize(
        ("content", "name"),
        [
            (tar_of({"root": link("/"), "root/outside": "x"}), "root/outside"),
            (tar_of({"root": None, "other": "x"}), "other"),
            (tar_of({"root": None, "root/../../outside": "x"}), "root/../../outside"),
            (tar_of({}), "is empty"),
        ],
    )
    def test_an_archive_that_is_not_one_tree_fails_the_job(self, runner, content, name):
        end = self.run(runner, {"/data": content}, "true").end
        assert (end["state"], end["termination_reason"]) == ("failed", "executor_error")
        assert end["termination_message"].startswith("Failed to set up files (")
        assert name in end["termination_message"]
        assert runner.copy_out("/outside") == b""

    def test_a_link_in_an_earlier_archive_is_not_the_way_of_a_later_one(self, runner):
        archives = {"/data": tar_of({"root": None, "root/link": link("/etc")}), "/data/link/passwd": tar(file="bad")}
        end = self.run(runner, archives, "true").end
        assert end["termination_reason"] == "executor_error"
        assert runner.copy_out("/etc/passwd") == b""

    def test_an_archive_that_was_not_uploaded_fails_the_job(self, runner):
        runner.submit(["true"], file_archives=[{"id": "missing", "path": "/x"}])
        runner.post("/api/run")
        assert "missing" in runner.result().end["termination_message"]


def test_links_are_not_followed_where_a_profile_denies_openat2(tmp_path):
    profile = tmp_path / "profile.json"
    denied = {"names": ["openat2"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [denied]}))
    options = [*HOST_PROGRAMS, "--security-opt", f"seccomp={profile}"]
    with RunnerContainer(scratch_image(tmp_path), options=options) as runner:
        runner.wait_ready().submit(["cat", "/repo/a/b"], repo_dir="/repo", repo_data={"repo_type": "local"})
        runner.post("/api/upload_code", data=tar_of({"a": None, "a/b": "words\n"}))
        runner.post("/api/run")
        assert runner.result().text == "words\n"
    with RunnerContainer(scratch_image(tmp_path), options=options) as runner:
        runner.wait_ready().submit(["true"], repo_dir="/repo", repo_data={"repo_type": "local"})
        runner.post("/api/upload_code", data=tar_of({"link": link("/"), "link/outside": "x"}))
        runner.post("/api/run")
        assert "link/outside" in runner.result().end["termination_message"]
        assert runner.copy_out("/outside") == b""
