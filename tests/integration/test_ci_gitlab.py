"""`dstack-shim ci gitlab`: a job of GitLab's in containers, each stage called as gitlab-runner calls it."""

import json
import signal
import subprocess
import uuid

import pytest
from conftest import docker
from support.gitlab_job import BUILD_FAILURE, SYSTEM_FAILURE, GitLabJob
from support.images import debian_image, images_in
from support.processes import wait_until
from support.registries import closed_image, closed_registry  # noqa: F401

WEB_SERVER = "mkdir /www; echo hello from $OWN $CI_PIPELINE_ID [$CI_JOB_TOKEN] >/www/index.html; exec httpd -f -p 8080 -h /www"
REDIS_SERVER = "exec redis-server --bind 0.0.0.0 --save '' --requirepass $REDIS_PASSWORD"


@pytest.fixture(scope="module")
def make_image(image, registry):
    with images_in(registry, image) as make:
        yield make


@pytest.fixture(scope="module")
def git_image(make_image) -> str:
    """With git and bash, a user, and an entry point that must not run."""
    programs = ["/usr/bin/git", "/bin/bash"]
    return make_image("git", programs, 'ENTRYPOINT ["/bin/false"]', "USER 1000:1000", "ENV PATH=/usr/bin:/bin")


@pytest.fixture(scope="module")
def helper_image(make_image) -> str:
    return make_image("helper", ["/usr/bin/git", "/bin/bash"], "ENV PATH=/usr/bin:/bin")


@pytest.fixture(scope="module")
def web_image(make_image) -> str:
    return make_image("team/web", [], f"ENTRYPOINT {json.dumps(['sh', '-c', WEB_SERVER])}", "EXPOSE 9090/udp 8080/tcp")


@pytest.fixture(scope="module")
def redis_image(make_image) -> str:
    """The distribution's Redis, as its own user."""
    changes = ['ENTRYPOINT ["sh", "-c"]', f"CMD {json.dumps([REDIS_SERVER])}", "USER redis", "EXPOSE 6379"]
    return make_image("db/redis", [], *changes, base=debian_image("redis-server"))


@pytest.fixture
def start(shim, tmp_path):
    """Makes jobs; whatever they leave is cleaned up."""
    jobs = []

    def make(**more) -> GitLabJob:
        number = int(uuid.uuid4().int % 10**9) + 1
        jobs.append(GitLabJob(tmp_path / f"job-{number}", shim.port, number, **more))
        return jobs[-1]

    yield make
    for job in jobs:
        job.cleanup()
    caches = docker("volume", "ls", "-q", "--filter", "name=dstack-ci-cache-").split()
    subprocess.run(["docker", "volume", "rm", *caches], capture_output=True)


# What other tests have left.
before_the_test: set[str] = set()


@pytest.fixture(autouse=True)
def remember_what_is_there():
    before_the_test.clear()
    before_the_test.update(engine_has())


def engine_has() -> set[str]:
    """Containers, networks and volumes of the test's jobs, but for caches."""
    found = {f"container {line}" for line in docker("ps", "-aq", "--filter", "label=ai.dstack.shim.is-task=true").split()}
    for kind in ("network", "volume"):
        names = docker(kind, "ls", "--format", "{{.Name}}", "--filter", "name=dstack-ci-").split()
        found |= {f"{kind} {name}" for name in names if not name.startswith("dstack-ci-cache-")}
    return found - before_the_test


def test_a_job_runs_from_its_sources_to_its_cleanup(start, git_image, web_image, tmp_path):
    job = start(
        image=git_image,
        services=[{"name": web_image, "alias": "web,site", "variables": [{"key": "OWN", "value": "job $CI_JOB_ID"}]}],
        flags=["--agent", "/bin/true", "--volume", "scratch:/scratch"],
    )
    config = job.config()
    assert config["driver"]["name"] == "dstack-shim" and config["shell"] == "bash" and config["job_env"] == {}
    assert (config["builds_dir"], config["cache_dir"], config["builds_dir_is_shared"]) == ("/builds", "/cache", False)
    assert not engine_has()
    said = job.prepare().output
    assert web_image in said and git_image in said
    note = json.loads((job.state / f"job-{job.number}.json").read_text())
    assert note == {"project": str(job.project), "pipeline": str(job.number * 10)}
    # GitLab's own scripts run as root, the job's as its user, to whom what was fetched belongs.
    sources = job.script("set -e; id -u; git init -q /builds/project; cd /builds/project; echo text >file; git add file", "get_sources")
    assert (sources.status, sources.output) == (0, "0\n"), sources
    built = job.script("cd /builds/project && git status --short && id -u && echo $BASH >made && echo problem >&2 && cat made")
    assert (built.status, built.errors) == (0, "problem\n"), built
    assert built.output.split() == ["A", "file", "1000", "/bin/bash"]
    again = job.script("cd /builds/project && git status --short && touch /cache/x && ls -l /usr/local/bin/gitlab-runner", "restore_cache")
    assert again.status == 0 and "?? made" in again.output, again
    registry, path = web_image.removesuffix(":1").split("/", 1)
    for name in ("web", "site", *(registry.split(":")[0] + between + path.replace("/", between) for between in ("-", "__"))):
        page = job.script(f"wget -q -O- http://{name}:8080/index.html")
        # Only public variables of the job are a service's.
        assert page.output == f"hello from job {job.number} {job.number * 10} []\n", page
    failed = job.script("exit 7")
    assert (failed.status, job.script_status) == (BUILD_FAILURE, "7")
    killed = job.script("kill -KILL $$")
    assert (killed.status, job.script_status) == (BUILD_FAILURE, "137")
    after = job.script("echo after; cat /builds/project/file; test -d /scratch", "after_script")
    assert (after.status, after.output) == (0, "after\ntext\n"), after
    assert job.cleanup().status == 0
    assert not engine_has() and not list(job.state.iterdir())
    assert job.cleanup().status == 0
    assert "secret-token" not in subprocess.run(["grep", "-r", "secret-token", tmp_path / "home"], capture_output=True, text=True).stdout


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_job_keeps_values_in_a_redis_service(start, image, redis_image, registry):
    service = {"name": redis_image, "alias": "redis", "variables": [{"key": "REDIS_PASSWORD", "value": "of-job-$CI_JOB_ID"}]}
    none = [{"key": "GIT_STRATEGY", "value": "none"}]
    job = start(image=image, services=[service], variables=none, flags=["--agent", "/bin/true"])
    said = job.prepare().output
    assert redis_image in said and "WARNING" not in said

    def ask(host: str, *commands: str) -> list[str]:
        """The lines that Redis answers, all commands in one connection."""
        lines = "".join(f"{command}\\r\\n" for command in (*commands, "QUIT"))
        done = job.script(f"printf '{lines}' | nc {host} 6379")
        assert done.status == 0, done
        return done.output.splitlines()

    assert ask("redis", "PING") == ["-NOAUTH Authentication required.", "+OK"]
    login = f"AUTH of-job-{job.number}"
    assert ask("redis", login, "PING", "SET greeting hello") == ["+OK", "+PONG", "+OK", "+OK"]
    host = registry.split(":")[0]
    path = redis_image.removeprefix(f"{registry}/").removesuffix(":1")
    for name in ("redis", *(f"{host}/{path}".replace("/", between) for between in ("-", "__"))):
        assert ask(name, login, "GET greeting") == ["+OK", "$5", "hello", "+OK"]
    containers = ["ps", "-aq", "--filter", f"ancestor={redis_image}"]
    assert len(docker(*containers).split()) == 1
    assert job.cleanup().status == 0
    assert not docker(*containers) and not engine_has()


@pytest.mark.long
def test_an_image_without_git_gets_its_sources_by_the_helper(start, image, helper_image):
    job = start(image={"name": image, "executor_opts": {"docker": {"user": "12:34"}}}, flags=["--helper-image", helper_image])
    assert helper_image in job.prepare().output
    assert job.script("git init -q /builds/p; touch /builds/p/f", "get_sources").status == 0
    built = job.script("id -u; cd /builds/p && ls -n f && touch g && readlink /proc/$$/exe")
    assert built.status == 0 and built.output.split()[0] == "12", built
    assert " 12 34 " in " ".join(built.output.split())
    assert job.script("git -C /builds/p status --short", "archive_cache").output == "?? f\n?? g\n"
    assert job.script("command -v git", "step_script").status == BUILD_FAILURE


@pytest.mark.long
def test_a_job_without_an_image_or_a_repository_runs_in_the_default_image(start, image):
    job = start(variables=[{"key": "GIT_STRATEGY", "value": "none", "public": True}], flags=["--image", image])
    job.prepare()
    assert job.script("echo own", "get_sources").output == "own\n"
    assert job.script("id -u").output == "0\n"


@pytest.mark.long
def test_an_image_that_cannot_be_had_is_the_jobs_failure(start, registry):
    job = start(image=f"{registry}/absent/image:9")
    done = job.call("prepare")
    assert done.status == BUILD_FAILURE
    assert f"{registry}/absent/image:9" in done.errors
    assert job.cleanup().status == 0 and not engine_has()
    assert start(image="Not An Image").call("prepare").status == BUILD_FAILURE


@pytest.mark.long
def test_a_service_that_cannot_be_had_is_the_jobs_failure_too(start, image, registry):
    job = start(image=image, services=[{"name": f"{registry}/absent/service:1"}])
    done = job.call("prepare")
    assert done.status == BUILD_FAILURE and "absent/service:1" in done.errors


@pytest.mark.long
def test_a_shim_that_is_not_there_is_this_machines_failure(start, image, shim):
    job = start(image=image)
    shim.kill()
    for stage in (["prepare"], ["run", str(job.script_file("true", "x")), "x"], ["cleanup"]):
        done = job.call(*stage)
        assert done.status == SYSTEM_FAILURE and str(shim.port) in done.errors, done


@pytest.mark.long
def test_a_volume_of_the_host_that_is_not_there_is_this_machines_failure(start, image):
    done = start(image=image, flags=["--volume", "/absent/folder:/x"]).call("prepare")
    assert done.status == SYSTEM_FAILURE and "/absent/folder" in done.errors


@pytest.mark.long
def test_a_script_that_runs_out_of_memory_is_told_so(start, image):
    job = start(image=image, variables=[{"key": "GIT_STRATEGY", "value": "none"}], flags=["--memory", "64MB"])
    job.prepare()
    done = job.script("tail /dev/zero")
    assert done.status == BUILD_FAILURE and "out of memory (limit 64 MiB)" in done.errors, done
    assert job.script("echo still here").output == "still here\n"


@pytest.mark.long
def test_a_cancelled_script_is_gone_and_the_container_stays(start, image):
    job = start(image=image, variables=[{"key": "GIT_STRATEGY", "value": "none"}])
    job.prepare()
    running = job.begin("trap '' TERM; (setsid sleep 1234 &); echo up; while :; do sleep 1; done")
    assert running.stdout.readline() == "up\n"
    running.send_signal(signal.SIGTERM)
    assert running.wait(20) == BUILD_FAILURE
    assert "1234" not in job.script("ps", "after_script").output
    # One that ends by itself in time says how.
    running = job.begin("trap 'echo leaving; exit 5' TERM; echo up; while :; do sleep 0.1; done")
    assert running.stdout.readline() == "up\n"
    running.send_signal(signal.SIGTERM)
    assert "leaving" in running.communicate(timeout=20)[0].splitlines()
    assert job.script_status == "5"


@pytest.mark.long
def test_output_comes_as_it_is_written(start, image):
    job = start(image=image, variables=[{"key": "GIT_STRATEGY", "value": "none"}])
    job.prepare()
    job.script("mkfifo /tmp/go")
    running = job.begin("echo first; cat /tmp/go")
    assert running.stdout.readline() == "first\n"
    assert job.script("echo second >/tmp/go", "other").status == 0
    assert running.communicate(timeout=20)[0] == "second\n"


@pytest.mark.long
def test_logins_are_the_jobs_or_dockers(start, image, closed_registry, closed_image):  # noqa: F811
    address, user, password = closed_registry
    none = [{"key": "GIT_STRATEGY", "value": "none"}]
    assert start(image=closed_image).call("prepare").status == BUILD_FAILURE
    login = {"type": "registry", "url": address, "username": user, "password": password}
    job = start(image=closed_image, credentials=[login], variables=none)
    job.prepare()
    assert job.cleanup().status == 0
    docker("rmi", "-f", closed_image)
    config = json.dumps({"auths": {address: {"username": user, "password": password}}})
    auth = {"key": "DOCKER_AUTH_CONFIG", "value": config, "public": False, "file": False}
    start(image=closed_image, variables=[*none, auth]).prepare()


@pytest.mark.long
def test_a_service_that_is_not_up_is_a_warning_with_its_last_lines(start, image):
    none = [{"key": "GIT_STRATEGY", "value": "none"}]
    service = {"name": image, "alias": "db", "entrypoint": ["sh", "-c"], "command": ["echo cannot start; exit 3"]}
    said = start(image=image, services=[service], variables=none).prepare().output
    assert "WARNING" in said and "cannot start" in said
    # Nor does one that cannot be started at all keep the job from running.
    job = start(image=image, services=[{"name": image, "entrypoint": ["/absent"]}], variables=none)
    said = job.prepare().output
    assert "WARNING" in said and "/absent" in said
    assert job.script("echo runs").output == "runs\n"


@pytest.mark.long
def test_a_job_that_was_never_prepared_is_cleaned_up_without_harm(start, image):
    job = start(image=image)
    assert job.cleanup().status == 0
    job.response_file.unlink()
    assert job.cleanup().status == 0
    assert job.call("prepare").status == SYSTEM_FAILURE


@pytest.mark.long
def test_a_job_of_a_dead_launcher_goes_with_its_owner(start, image, shim):
    job = start(image=image, variables=[{"key": "GIT_STRATEGY", "value": "none"}])
    job.state.mkdir(exist_ok=True)
    (job.state / "owner").touch()
    job.prepare()
    assert engine_has()
    wait_until(lambda: not engine_has(), "the job's removal", 120, pause=1)
