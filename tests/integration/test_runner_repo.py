"""Remote repos: clones over https and ssh in images that have neither git nor ssh, and the diff on top of them."""

import socket
import subprocess

import pytest
from support.git_remotes import Authority, ConnectProxy, GitHttps, GitSsh, Repository, git
from support.runner_container import HOST_PROGRAMS, RunnerContainer, docker, scratch_image

TOKEN = 'a "token" with \\ and ü'


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority") / "ca")


@pytest.fixture
def root(tmp_path):
    return tmp_path / "repositories"


@pytest.fixture
def repository(root) -> Repository:
    return Repository(root / "code")


@pytest.fixture
def remote(root, authority):
    with GitHttps(root, authority, TOKEN) as server:
        yield server


@pytest.fixture
def runner(tmp_path, authority):
    """In an image without anything but the test's CA; the host's programs are for the job's commands."""
    options = [*HOST_PROGRAMS, "-v", f"{authority.certificate}:/etc/ssl/certs/ca-certificates.crt:ro"]
    with RunnerContainer(scratch_image(tmp_path), options=options) as container:
        yield container.wait_ready()


def remote_job(url: str, *, token=None, key=None, branch="main", commit="", **more) -> dict:
    data = {"repo_type": "remote", "repo_branch": branch, "repo_hash": commit}
    data |= {"repo_config_name": "Some One", "repo_config_email": "one@example.com"}
    return {
        "repo_dir": "/workflow",
        "repo_data": data,
        "repo_credentials": {"clone_url": url, "oauth_token": token, "private_key": key},
        **more,
    }


def run(runner, script: str, job: dict, diff: bytes | None = None):
    submitted = runner.submit(["bash", "-c", script], **job)
    assert submitted.status_code == 200, submitted.text
    if diff is not None:
        assert runner.post("/api/upload_code", data=diff).status_code == 200
    runner.post("/api/run")
    return runner.result(60)


GIT = "export HOME=/nowhere GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0=*; cd /workflow; "


def test_a_private_repo_is_cloned_with_the_token(runner, repository, remote):
    repository.commit(file="words\n", program="#!/bin/sh\n")
    head = git(repository.path, "rev-parse", "HEAD")
    script = GIT + "cat file; git status --porcelain=v2 --branch; git config user.name; git config user.email; git rev-parse HEAD"
    result = run(runner, script, remote_job(f"{remote.url}/code", token=TOKEN))
    assert result.end["state"] == "done", result
    lines = result.text.splitlines()
    assert lines[0] == "words"
    assert f"# branch.oid {head}" in lines and "# branch.head main" in lines and "# branch.upstream origin/main" in lines
    assert lines[-3:] == ["Some One", "one@example.com", head]
    assert f"anything:{TOKEN}" in remote.logins
    assert "Cloning" in result.runner_log and TOKEN not in result.runner_log


@pytest.mark.parametrize("token", [None, "wrong"])
def test_a_refused_login_fails_the_job(runner, repository, remote, token):
    repository.commit(file="words\n")
    end = run(runner, "true", remote_job(f"{remote.url}/code", token=token)).end
    assert (end["state"], end["termination_reason"]) == ("failed", "container_exited_with_error")
    assert end["termination_message"].startswith("Failed to set up the repo (")
    assert "127.0.0.1" in end["termination_message"]
    assert ("does not accept" if token else "no token") in end["termination_message"]


def test_a_certificate_that_nobody_vouches_for_fails_the_job(tmp_path, repository, remote):
    repository.commit(file="words\n")
    with RunnerContainer(scratch_image(tmp_path), options=HOST_PROGRAMS) as container:
        result = run(container.wait_ready(), "true", remote_job(f"{remote.url}/code", token=TOKEN))
    assert "certificate" in result.end["termination_message"]
    assert "The image has no CA certificates: using the" in result.runner_log
    assert not any(TOKEN in login for login in remote.logins)


def test_ssl_cert_file_says_whom_to_trust(tmp_path, repository, remote, authority):
    repository.commit(file="words\n")
    options = [*HOST_PROGRAMS, "-v", f"{authority.certificate}:/my ca.pem:ro", "-e", "SSL_CERT_FILE=/my ca.pem"]
    with RunnerContainer(scratch_image(tmp_path), options=options) as container:
        assert run(container.wait_ready(), "cat /workflow/file", remote_job(f"{remote.url}/code", token=TOKEN)).text == "words\n"


def test_a_clone_goes_through_the_proxy(tmp_path, repository, remote, authority):
    repository.commit(file="words\n")
    with ConnectProxy() as proxy:
        options = [*HOST_PROGRAMS, "-v", f"{authority.certificate}:/ca:ro", "-e", "SSL_CERT_FILE=/ca", "-e", f"https_proxy={proxy.url}"]
        with RunnerContainer(scratch_image(tmp_path), options=options) as container:
            result = run(container.wait_ready(), "cat /workflow/file", remote_job(f"{remote.url}/code", token=TOKEN))
        assert result.text == "words\n", result
        assert f"127.0.0.1:{remote.port}" in proxy.targets


# Other builds have the distribution's libssh2, which may know SHA-1 only for RSA.
RSA = pytest.param("rsa", True, marks=pytest.mark.release)


@pytest.mark.parametrize(("kind", "pem"), [("ed25519", False), RSA, ("ecdsa", False)])
def test_a_repo_is_cloned_by_ssh_with_a_deploy_key(tmp_path, runner, repository, kind, pem):
    repository.commit(file="words\n")
    with GitSsh(tmp_path / "ssh", kind, pem) as remote:
        result = run(runner, "cat /workflow/file", remote_job(f"{remote.url}{repository.path}", key=remote.key.rstrip()))
    assert result.text == "words\n", result


def test_ssh_asks_for_the_user_git_where_the_address_names_none(tmp_path, runner, repository):
    repository.commit(file="words\n")
    with GitSsh(tmp_path / "ssh") as remote:
        url = remote.url.replace("root@", "") + str(repository.path)
        end = run(runner, "true", remote_job(url, key=remote.key)).end
        assert end["termination_reason"] == "container_exited_with_error"
        assert "user git" in remote.log_path.read_text()


def test_submodules_are_cloned_to_any_depth_with_the_same_credentials(root, runner, repository, remote):
    inner, middle = Repository(root / "group" / "inner"), Repository(root / "group" / "middle")
    inner.commit(deep="deep\n")
    middle.commit(file="middle\n")
    middle.add_submodule("../inner", inner, "in")
    repository.commit(file="words\n")
    repository.add_submodule("../group/middle", middle, "some where")
    repository.add_submodule(f"{remote.url}/group/inner", inner, "absolute")
    # By ssh on the same host: the token is what there is.
    repository.add_submodule("git@127.0.0.1:group/inner", inner, "by ssh")
    script = GIT + "cat 'some where/file' 'some where/in/deep' absolute/deep 'by ssh/deep'; git submodule status --recursive | wc -l; git status -s"
    result = run(runner, script, remote_job(f"{remote.url}/code", token=TOKEN))
    assert result.text == "middle\ndeep\ndeep\ndeep\n4\n", result


@pytest.mark.parametrize("url", ["/etc", "file:///etc", "../../../../etc"])
def test_a_submodule_that_is_no_remote_fails_the_job(root, runner, repository, remote, url):
    inner = Repository(root / "inner")
    inner.commit(deep="deep\n")
    repository.add_submodule(url, inner, "sub")
    end = run(runner, "true", remote_job(f"{remote.url}/code", token=TOKEN)).end
    assert "submodule" in end["termination_message"] and "sub" in end["termination_message"]


def test_the_token_is_for_its_own_host_only(root, runner, repository, remote, authority):
    inner = Repository(root / "inner")
    inner.commit(deep="deep\n")
    repository.add_submodule(f"https://localhost:{remote.port}/inner", inner, "sub")
    end = run(runner, "true", remote_job(f"{remote.url}/code", token=TOKEN)).end
    assert "localhost requires a login, but the token is for another host" in end["termination_message"]


class TestWhatIsCheckedOut:
    @pytest.fixture
    def commits(self, repository):
        first = repository.commit(file="first\n")
        second = repository.commit(file="second\n")
        git(repository.path, "checkout", "-q", "-b", "topic/x", first)
        topic = repository.commit(file="topic\n")
        git(repository.path, "checkout", "-q", "main")
        return {"first": first, "second": second, "topic": topic}

    SHOW = GIT + "cat file; git symbolic-ref -q --short HEAD || echo detached; git branch -r | tr -d ' '"

    @pytest.mark.parametrize(
        ("branch", "commit", "single", "expected"),
        [
            ("main", "", False, "second\nmain\norigin/main\norigin/topic/x\n"),
            ("main", "second", True, "second\nmain\norigin/main\n"),
            ("main", "first", True, "first\ndetached\norigin/main\n"),
            ("topic/x", "", True, "topic\ntopic/x\norigin/topic/x\n"),
            ("", "", False, "second\nmain\norigin/main\norigin/topic/x\n"),
            ("", "topic", False, "topic\ndetached\norigin/main\norigin/topic/x\n"),
            ("main", "topic", True, "topic\ndetached\norigin/main\n"),
        ],
    )
    def test_branch_and_hash(self, runner, remote, commits, branch, commit, single, expected):
        job = remote_job(f"{remote.url}/code", token=TOKEN, branch=branch, commit=commits.get(commit, ""), single_branch=single)
        result = run(runner, self.SHOW, job)
        assert result.text == expected, result

    @pytest.mark.parametrize(("branch", "commit", "named"), [("gone", "", "gone"), ("main", "1" * 40, "1" * 40)])
    def test_what_is_not_there_fails_the_job_by_its_name(self, runner, remote, commits, branch, commit, named):
        end = run(runner, "true", remote_job(f"{remote.url}/code", token=TOKEN, branch=branch, commit=commit)).end
        assert end["termination_reason"] == "container_exited_with_error"
        if branch != "main":
            assert named in end["termination_message"]

    def test_an_empty_repository_is_an_empty_folder(self, runner, repository, remote):
        result = run(runner, "ls -A /workflow", remote_job(f"{remote.url}/code", token=TOKEN, branch=""))
        assert result.text == ".git\n", result


class TestDiff:
    def test_the_diff_is_applied_to_what_was_checked_out(self, tmp_path, runner, repository, remote):
        (repository.path / ".gitattributes").parent.mkdir(exist_ok=True)
        commit = repository.commit(_dot_gitattributes="*.crlf text eol=crlf\n", edit="1\n2\n3\n", gone="x\n", old="a\nb\nc\nd\n", dos_dot_crlf="1\n2\n")
        work = tmp_path / "work"
        git(tmp_path, "clone", "-q", str(repository.path), str(work))
        (work / "edit").write_text("1\ntwo\n3\n")
        (work / "gone").unlink()
        (work / "old").rename(work / "sub dir")
        (work / "new").write_bytes(bytes(range(256)))
        (work / "edit").chmod(0o755)
        (work / "dos.crlf").write_bytes(b"1\r\ntwo\r\n")
        git(work, "add", "-A")
        diff = subprocess.run(["git", "diff", "--binary", commit], cwd=work, check=True, capture_output=True).stdout
        script = "cd /workflow; stat -c '%U %A %n' edit; cat edit 'sub dir'; wc -c <new; cat -A dos.crlf; ls -1N; find . ! -user 77 | head"
        job = remote_job(f"{remote.url}/code", token=TOKEN, commit=commit, user={"uid": 77})
        result = run(runner, script, job, diff)
        expected = "UNKNOWN -rwxr-xr-x edit\n1\ntwo\n3\na\nb\nc\nd\n256\n1^M$\ntwo^M$\ndos.crlf\nedit\nnew\nsub dir\n"
        assert result.text == expected, result

    def test_a_diff_that_does_not_apply_fails_the_job_by_file_and_hunk(self, runner, repository, remote):
        repository.commit(file="words\n")
        diff = b"diff --git a/file b/file\n--- a/file\n+++ b/file\n@@ -1 +1 @@\n-other\n+new\n"
        end = run(runner, "true", remote_job(f"{remote.url}/code", token=TOKEN), diff).end
        assert end["termination_message"] == 'Failed to set up the repo ("file": hunk 1 ("@@ -1 +1 @@") does not apply)'


class TestCredentials:
    def test_the_token_is_for_the_job_s_git_until_its_end(self, runner, repository, remote):
        repository.commit(file="words\n")
        result = run(runner, "cat ~/.config/gh/hosts.yml; stat -c %a ~/.config/gh/hosts.yml", remote_job(f"{remote.url}/code", token=TOKEN))
        assert result.text == '127.0.0.1:\n  oauth_token: "a \\"token\\" with \\\\ and ü"\n600\n'
        assert runner.copy_out("/root/.config/gh/hosts.yml") == b""

    def test_the_key_is_for_the_job_s_git_until_its_end(self, tmp_path, runner, repository):
        repository.commit(file="words\n")
        with GitSsh(tmp_path / "ssh") as remote:
            result = run(runner, "cat ~/.ssh/id_rsa; stat -c %a ~/.ssh/id_rsa", remote_job(f"{remote.url}{repository.path}", key=remote.key))
        assert result.text == remote.key + "600\n"
        assert runner.copy_out("/root/.ssh/id_rsa") == b""

    def test_a_file_that_is_there_stays_as_it_is(self, runner, repository, remote):
        repository.commit(file="words\n")
        docker("exec", runner.name, "/bin/bash", "-c", "mkdir -p /root/.config/gh && echo mine >/root/.config/gh/hosts.yml")
        result = run(runner, "cat ~/.config/gh/hosts.yml", remote_job(f"{remote.url}/code", token=TOKEN))
        assert result.text == "mine\n"
        assert runner.copy_out("/root/.config/gh/hosts.yml") == b"mine\n"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1/code", "only https and ssh"),
        ("/etc", "not a remote URL"),
        ("file:///etc", "not a remote URL"),
        ("ssh://127.0.0.1/code", "no private key"),
        ("https://127.0.0.1:1/code", "127.0.0.1"),
    ],
)
def test_an_address_that_cannot_be_cloned_fails_the_job(runner, url, reason):
    end = run(runner, "true", remote_job(url)).end
    assert (end["state"], end["termination_reason"]) == ("failed", "container_exited_with_error")
    assert reason in end["termination_message"]


def test_a_remote_repo_without_credentials_fails_the_job(runner):
    end = run(runner, "true", {**remote_job(""), "repo_credentials": None}).end
    assert "repo_credentials" in end["termination_message"]


def test_a_repo_is_cloned_beside_a_new_volume_s_lost_and_found(runner, repository, remote):
    repository.commit(file="words\n")
    docker("exec", runner.name, "/bin/bash", "-c", "mkdir -p /workflow/lost+found")
    result = run(runner, "ls -1 /workflow", remote_job(f"{remote.url}/code", token=TOKEN, repo_exists_action="error"))
    assert result.text == "file\nlost+found\n"


def test_a_clone_is_stopped_at_once(runner, root, repository, authority):
    # Somebody who takes the connection and says nothing.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        runner.submit(["true"], **remote_job(f"https://127.0.0.1:{silent.getsockname()[1]}/code"))
        runner.post("/api/run")
        connection, _ = silent.accept()
        runner.post("/api/stop")
        connection.close()
        assert runner.result().names == ["terminated"]


def test_a_commit_that_holds_a_link_and_a_folder_of_one_name_writes_nothing_outside(runner, repository, remote):
    """Git's own programs do not make such a tree."""
    docker("exec", runner.name, "/bin/mkdir", "/outside")
    blob = lambda text: subprocess.run(
        ["git", "hash-object", "-w", "--stdin"], cwd=repository.path, input=text, check=True, capture_output=True, text=True
    ).stdout.strip()
    tree = lambda text: subprocess.run(
        ["git", "mktree"], cwd=repository.path, input=text, check=True, capture_output=True, text=True
    ).stdout.strip()
    inner = tree(f"100644 blob {blob('bad')}\tfile\n")
    hostile = tree(f"120000 blob {blob('/outside')}\ta\n040000 tree {inner}\ta\n")
    git(repository.path, "update-ref", "refs/heads/main", git(repository.path, "commit-tree", "-m", "hostile", hostile))
    run(runner, "true", remote_job(f"{remote.url}/code", token=TOKEN))
    assert runner.copy_out("/outside/file") == b""
