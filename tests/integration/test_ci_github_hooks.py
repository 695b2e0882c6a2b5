"""`dstack-shim ci github-hook`: a job of GitHub Actions' in containers, each hook called as the official agent calls it."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from pathlib import Path

import pytest
from conftest import docker
from support.github_job import GitHubJob
from support.images import images_in
from support.processes import SHIM, wait_until
from support.registries import closed_image, closed_registry  # noqa: F401

WEB_SERVER = "mkdir /www; echo hello from $OWN $GITHUB_ACTIONS $CI >/www/index.html; exec httpd -f -p 8080 -h /www"


@pytest.fixture(scope="module")
def make_image(image, registry):
    with images_in(registry, image) as make:
        yield make


@pytest.fixture(scope="module")
def user_image(make_image) -> str:
    """With a user, a PATH of its own, and an entry point that must not run in a job's container."""
    return make_image("user", [], 'ENTRYPOINT ["/bin/false"]', "USER 1000:1000", "ENV PATH=/bin:/own")


@pytest.fixture(scope="module")
def web_image(make_image) -> str:
    return make_image("team/web", [], f"ENTRYPOINT {json.dumps(['sh', '-c', WEB_SERVER])}", "EXPOSE 8080/tcp")


@pytest.fixture
def start(shim, tmp_path):
    """Makes jobs; what they leave is cleaned up."""
    jobs = []

    def make(**more) -> GitHubJob:
        jobs.append(GitHubJob(tmp_path / f"agent-{len(jobs)}", shim.port, **more))
        return jobs[-1]

    yield make
    for job in jobs:
        job.cleanup(state=None)


# What other tests have left.
before_the_test: set[str] = set()


@pytest.fixture(autouse=True)
def remember_what_is_there():
    before_the_test.clear()
    before_the_test.update(engine_has())


def engine_has() -> set[str]:
    """Containers, networks, volumes and images of the test's jobs."""
    found = {f"container {line}" for line in docker("ps", "-aq", "--filter", "label=ai.dstack.shim.is-task=true").split()}
    for kind in ("network", "volume"):
        found |= {f"{kind} {name}" for name in docker(kind, "ls", "--format", "{{.Name}}", "--filter", "name=dstack-ci-").split()}
    found |= {f"image {name}" for name in docker("images", "-q", "dstack-ci").split()}
    return found - before_the_test


def await_line(process: subprocess.Popen, part: str) -> None:
    while part not in (line := process.stdout.readline()):
        assert line, f"no {part}"


def is_connected(process: int, other_than: int) -> bool:
    """To a port other than this one."""
    lines = subprocess.run(["ss", "-Htnp"], check=True, capture_output=True, text=True).stdout.splitlines()
    return any(f"pid={process}," in line and not line.split()[4].endswith(f":{other_than}") for line in lines)


def inspect(container: str) -> dict:
    return json.loads(docker("inspect", container))[0]


def test_a_job_runs_from_its_preparation_to_its_cleanup(start, user_image, web_image, image, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/set").write_text("numbers\n")
    job = start(
        container={
            "image": user_image,
            "env": {"JOB_VARIABLE": "a b"},
            "options": "--cpus 0.5 --hostname trainer -e OPTION='from options' --health-cmd 'exit 1' --add-host far:10.9.8.7 --init",
            "volumes": [f"{tmp_path}/data:/data:ro", "scratch:/scratch", "/anonymous"],
        },
        services=[
            {
                "image": web_image,
                "env": {"OWN": "service"},
                "ports": ["8080"],
                "options": '--name web --network-alias site --health-cmd "wget -q -O- http://127.0.0.1:8080/" --health-interval 1s --health-retries 30',
            }
        ],
        flags=["--allow-volumes", str(tmp_path)],
    )
    done = job.prepare()
    context = done.answer["context"]
    service, container = context["services"][0], context["container"]
    assert web_image in done.output and user_image in done.output
    assert done.answer["isAlpine"] is False
    assert inspect(service["id"])["State"]["Health"]["Status"] == "healthy"
    assert service["network"] == container["network"] != ""
    assert set(inspect(service["id"])["NetworkSettings"]["Networks"]) == {container["network"]}
    assert list(service["ports"]) == ["8080"] and int(service["ports"]["8080"]) > 0
    made = inspect(container["id"])
    assert made["HostConfig"]["NanoCpus"] == 500_000_000
    # Docker's socket is the host.
    assert not [mounted for mounted in made["Mounts"] if "docker.sock" in mounted["Source"] + mounted["Destination"]]

    first = job.run(
        'id -u; pwd; echo "$JOB_VARIABLE-$OPTION-$GITHUB_ACTIONS-$HOME"; cat /data/set; cat /etc/hostname; grep far /etc/hosts; echo x >&2'
    )
    assert first.status == 0
    assert first.output.split("\n")[:5] == ["1000", "/__w/project/project", "a b-from options-true-/github/home", "numbers", "trainer"]
    assert "10.9.8.7" in first.output and first.output.endswith("x\n")
    path = job.run("echo $PATH", prepend=["/added/last", "/added/first"])
    assert path.output == "/added/last:/added/first:/bin:/own\n"
    assert job.run("echo $PATH", prepend=["/added"], PATH="/bin:/of/step").output == "/added:/bin:/of/step\n"
    page = job.run("for name in web site " + web_image.split("/")[-1].split(":")[0] + "; do wget -q -O- http://$name:8080/; done")
    assert page.output == "hello from service true true\n" * 3, page
    assert job.run("exit 7").status == 7
    assert job.run("kill -KILL $$").status == 137
    assert job.run("echo x > /data/set").status != 0
    missing = job.call("run_script_step", {**job.step_args("true"), "entryPoint": "absent-program"})
    assert missing.status == 127 and "absent-program: not found" in missing.output
    (job.workspace / "odd").write_bytes(b"\0")
    (job.workspace / "odd").chmod(0o755)
    odd = job.call("run_script_step", {**job.step_args("true"), "entryPoint": "/__w/project/project/odd"})
    assert odd.status == 126 and "odd: not executable" in odd.output

    (job.workspace / "made by root").mkdir()
    action = job.action(
        image, "-c", 'id -u; pwd; echo "$INPUT_WHO $HOME $1"; wget -q -O- http://web:8080/; touch made', "sh", "two  words", entrypoint="sh"
    )
    assert action.status == 0, action
    # The agent splits at every blank, so that two become one.
    assert action.output.split("\n")[-5:] == ["0", "/github/workspace", "you /github/home two words", "hello from service true true", ""]
    assert f"Image {image}" in action.output

    os.chown(job.workspace, 4321, 4321)
    job.state, other = {"job": "ci-0000000000000000-1"}, job.state
    for command, args in (("run_script_step", job.step_args("true")), ("cleanup_job", {}), ("run_container_step", job.action_args(image, []))):
        done = job.call(command, args)
        assert done.status == 1 and "state" in done.output, done
    job.state = other
    assert job.run("echo still here").output == "still here\n"
    assert job.cleanup().status == 0
    assert engine_has() == set()
    assert {path.lstat().st_uid for path in job.work.rglob("*")} == {4321}
    for state in ("known", None, {}):
        assert job.cleanup(state).status == 0
    assert job.run("true").status == 1


def test_nonsense_is_refused_with_a_line(start, image):
    job = start()
    good = job.container_args({"image": image}, True)
    for command, args, complaint in (
        ("prepare_jobs", {}, "command"),
        ("prepare_job", [], "args"),
        ("prepare_job", {"container": "x"}, "args.container"),
        ("prepare_job", {"container": {"image": None}}, "args.container"),
        ("prepare_job", {"container": {**good, "portMappings": ["x"]}}, "portMappings"),
        ("prepare_job", {"container": {**good, "environmentVariables": {"A": 1}}}, "environmentVariables.A"),
        ("prepare_job", {"container": {**good, "userMountVolumes": [{"targetVolumePath": "x"}]}}, "targetVolumePath"),
        ("run_script_step", {"entryPoint": "sh", "entryPointArgs": ["-c", "'open"]}, "entryPointArgs"),
        ("run_script_step", {"entryPointArgs": []}, "entryPoint"),
        ("run_script_step", {"entryPoint": "sh"}, "state"),
        ("run_container_step", {"image": None, "dockerfile": None}, "image"),
        ("prepare_job", {"container": {**good, "createOptions": "--network host"}}, "option --network is not supported here"),
        ("prepare_job", {"container": {**good, "createOptions": "--privileged"}}, "option --privileged is not supported here"),
        ("prepare_job", {"container": {**good, "createOptions": "--gpus all"}}, "--gpus"),
        ("prepare_job", {"container": {**good, "createOptions": "--cpus many"}}, "--cpus"),
        ("prepare_job", {"container": {**good, "userMountVolumes": [{"sourceVolumePath": "/etc", "targetVolumePath": "/x"}]}}, "--allow-volumes"),
    ):
        done = job.call(command, args)
        assert done.status == 1 and complaint in done.output and done.output.count("\n") == 1, (command, args, done)
    for line in ("", "nonsense\n", "[]\n", '{"command": "cleanup_job", "state": 5}\n'):
        process = job.start_with(line)
        output = process.communicate(timeout=60)[0]
        assert process.returncode == 1 and output.count("\n") == 1, (line, output)
    assert engine_has() == set()


def test_a_job_that_was_never_prepared_is_cleaned_up_without_harm(start):
    job = start()
    for _ in range(2):
        done = job.cleanup(state=None)
        assert (done.status, done.output, done.answer) == (0, "", None)


@pytest.mark.long
def test_fields_that_are_null_or_unknown_are_as_if_they_were_not_there(start, image):
    job = start()
    nothing = dict.fromkeys(job.container_args({"image": image}, True))
    args = {"container": {**nothing, "image": image, "new": {"x": [1]}, "environmentVariables": {"A": None}}, "services": None, "later": 1}
    assert job.call("prepare_job", args).status == 0
    step = {
        "entryPoint": "sh",
        "entryPointArgs": ["-c", '"echo', "$A:$CI", ";", 'pwd"'],
        "environmentVariables": None,
        "prependPath": None,
        "workingDirectory": None,
    }
    assert job.call("run_script_step", step).output == ":true\n/\n"


@pytest.mark.long
def test_services_alone_have_an_answer_of_their_own(start, image, web_image):
    fixed = {"image": web_image, "ports": ["8080/tcp", "53/udp"], "options": "--no-healthcheck"}
    job = start(services=[{"image": image, "command": 'sh -c "sleep 600"'}, fixed])
    done = job.prepare()
    context = done.answer["context"]
    assert "container" not in context and done.answer["isAlpine"] is False
    first, second = context["services"]
    assert first["ports"] == {} and set(second["ports"]) == {"8080", "53"}
    assert [inspect(service["id"])["Config"]["Image"] for service in (first, second)] == [image, web_image]
    assert inspect(first["id"])["Config"]["Cmd"] == ["sh", "-c", "sleep 600"]
    page = subprocess.run(["curl", "-sf", f"http://127.0.0.1:{second['ports']['8080']}/"], capture_output=True, text=True)
    assert page.stdout.startswith("hello"), page
    action = job.action(image, "-O-", f"http://{web_image.split('/')[-1].split(':')[0]}:8080/", entrypoint="wget")
    assert action.status == 0 and "hello" in action.output, action
    assert job.run("true").status == 1


@pytest.mark.long
def test_an_unhealthy_service_fails_the_job_with_its_last_lines(start, image):
    options = "--health-cmd false --health-interval 500ms --health-retries 2 --health-timeout=1s --health-start-period 0s"
    unhealthy = {"image": image, "command": 'sh -c "echo cannot serve; sleep 600"', "options": options}
    job = start(container={"image": image}, services=[unhealthy])
    done = job.try_prepare()
    assert done.status == 1 and "unhealthy" in done.output and "cannot serve" in done.output and image in done.output, done
    ended = {"image": image, "command": 'sh -c "echo cannot start; exit 3"'}
    done = start(container={"image": image}, services=[ended]).try_prepare()
    assert done.status == 1 and "unhealthy" in done.output and "cannot start" in done.output, done
    # The job's own check is not waited for.
    start(container={"image": image, "options": options}).prepare()


@pytest.mark.long
def test_alpine_is_told_by_its_release_files(start, make_image, image):
    release = make_image("alpine", [], base=image_of(image, make_image, {"/etc/os-release": 'NAME="Alpine Linux"\nID=alpine\n'}))
    assert start(container={"image": release}).prepare().answer["isAlpine"] is True
    other = image_of(image, make_image, {"/etc/os-release": 'ID=debian\nHOME_URL="alpine"\n'})
    assert start(container={"image": other}).prepare().answer["isAlpine"] is False


def image_of(base: str, make_image, files: dict[str, str]) -> str:
    """`base` with files of these contents."""
    container = docker("run", "--detach", base, "sleep", "600").strip()
    for path, content in files.items():
        subprocess.run(["docker", "exec", "-i", container, "sh", "-c", f"cat > {path}"], input=content, text=True, check=True)
    name = f"{base.rsplit(':', 1)[0]}-{uuid.uuid4().hex[:8]}:1"
    docker("commit", container, name)
    docker("rm", "-f", container)
    docker("push", name)
    return name


@pytest.mark.long
def test_limits_of_options_are_cut_to_the_launchers(start, image):
    job = start(
        container={"image": image, "options": "--cpus=9 -m 8g --shm-size 1GiB"}, flags=["--cpus", "0.5", "--memory", "64MB", "--shm-size", "32MB"]
    )
    done = job.prepare()
    made = inspect(done.answer["context"]["container"]["id"])["HostConfig"]
    assert (made["NanoCpus"], made["Memory"], made["ShmSize"]) == (500_000_000, 64 << 20, 32 << 20)
    assert done.output.count("cut to") == 3
    out = job.run("tail /dev/zero")
    assert out.status == 137 and "out of memory (limit 64 MiB)" in out.output, out
    assert job.run("echo still here").output == "still here\n"
    out = job.action(image, "/dev/zero", entrypoint="tail")
    assert out.status == 137 and "out of memory (limit 64 MiB)" in out.output, out
    # Less than the launcher's is what it says.
    small = start(container={"image": image, "options": "-m32m --cpus=0.25"}, flags=["--cpus", "0.5", "--memory", "64MB"]).prepare()
    made = inspect(small.answer["context"]["container"]["id"])["HostConfig"]
    assert (made["NanoCpus"], made["Memory"]) == (250_000_000, 32 << 20)


@pytest.mark.long
def test_options_reach_the_engine(start, image):
    options = "--ulimit nofile=100:200 --tmpfs /fast:size=1m -l team=ml --pull=missing -u 12:34 -w /elsewhere --entrypoint /bin/false --name me"
    job = start(
        container={"image": image, "options": options}, services=[{"image": image, "options": "--init --entrypoint sleep -u 7", "command": "600"}]
    )
    context = job.prepare().answer["context"]
    made = inspect(context["container"]["id"])
    assert {"Name": "nofile", "Soft": 100, "Hard": 200} in made["HostConfig"]["Ulimits"]
    assert made["HostConfig"]["Tmpfs"] == {"/fast": "size=1m"} and made["Config"]["Labels"]["team"] == "ml"
    service = inspect(context["services"][0]["id"])
    assert service["HostConfig"]["Init"] is True and service["Config"]["User"] == "7" and service["Config"]["Entrypoint"] == ["sleep"]
    assert job.run("id -u; id -g; grep -c me /etc/hosts || true").output.split()[:2] == ["12", "34"]


@pytest.mark.long
def test_volumes_of_a_job_are_its_own_and_paths_are_those_that_are_allowed(start, image, tmp_path):
    allowed, secret = tmp_path / "allowed", tmp_path / "secret"
    allowed.mkdir()
    secret.mkdir()
    (allowed / "link").symlink_to(secret)
    (tmp_path / "alias").symlink_to(allowed)
    flags = ["--allow-volumes", f"/absent,{tmp_path}/alias", "--volume", "shared:/shared"]
    for wrong in (f"{allowed}/link:/x", f"{allowed}/../secret:/x", f"{secret}:/x", f"{allowed}2:/x", "/:/x"):
        done = start(container={"image": image, "volumes": [wrong]}, flags=flags).try_prepare()
        assert done.status == 1 and "--allow-volumes" in done.output, (wrong, done)
    mounted = start(
        container={"image": image, "volumes": [f"{allowed}:/x", "data:/data"]},
        services=[{"image": image, "command": "sleep 600", "volumes": ["data:/d"]}],
        flags=flags,
    )
    mounted.prepare()
    assert mounted.run("echo mine >/data/file && touch /x/made && test -d /shared").status == 0
    assert (allowed / "made").exists()
    other = start(container={"image": image, "volumes": ["data:/data"]})
    other.prepare()
    assert other.run("ls /data").output == ""
    for job in (mounted, other):
        assert job.cleanup().status == 0
    assert engine_has() == set()


@pytest.mark.long
def test_a_link_that_a_job_has_made_leads_no_mount_out_of_the_work_folder(start, image, tmp_path):
    job = start(container={"image": image})
    (tmp_path / "secret").mkdir()
    (job.temp / "_github_home").rename(job.temp / "moved")
    (job.temp / "_github_home").symlink_to(tmp_path / "secret")
    done = job.action(image, "true")
    assert done.status == 1 and "work folder" in done.output, done
    done = job.try_prepare()
    assert done.status == 1 and "work folder" in done.output, done


@pytest.mark.long
def test_a_cancelled_step_is_gone_and_the_container_stays(start, image):
    job = start(container={"image": image})
    job.prepare()
    running = job.start("run_script_step", job.step_args("trap '' INT; (setsid sleep 1234 &); echo up; while :; do sleep 1; done"))
    assert running.stdout.readline() == "up\n"
    running.send_signal(signal.SIGINT)
    assert running.wait(30) == 137
    assert "1234" not in job.run("ps").output
    # One that ends by itself in time says how.
    running = job.start("run_script_step", job.step_args("trap 'echo leaving; exit 5' INT; echo up; while :; do sleep 0.1; done"))
    assert running.stdout.readline() == "up\n"
    running.send_signal(signal.SIGINT)
    assert running.communicate(timeout=30)[0] == "leaving\n" and running.returncode == 5
    # A hook that is killed takes the step with it.
    running = job.start("run_script_step", job.step_args("trap 'echo gone >/tmp/ended; exit' TERM; echo up; while :; do sleep 0.1; done"))
    assert running.stdout.readline() == "up\n"
    running.kill()
    wait_until(lambda: job.run("cat /tmp/ended").output == "gone\n", "the end of the step", 20, pause=0.2)


@pytest.mark.long
def test_a_cancelled_container_step_leaves_no_container(start, image):
    job = start()
    args = job.action_args(image, ["-c", "trap 'echo leaving; exit 9' INT; echo up; while :; do sleep 0.1; done"], entrypoint="sh")
    running = job.start("run_container_step", args)
    await_line(running, "up\n")
    assert engine_has()
    running.send_signal(signal.SIGINT)
    assert "leaving\n" in running.communicate(timeout=30)[0] and running.returncode == 9
    assert engine_has() == set()
    # Of a hook that is killed, the next step removes it.
    running = job.start("run_container_step", args)
    await_line(running, "up\n")
    running.kill()
    assert job.action(image, "true", state=None, entrypoint="env").status == 0
    assert engine_has() == set()


@pytest.mark.long
def test_an_action_without_a_job_container_runs_as_its_image_says(start, make_image, registry):
    image = make_image("action", [], 'ENTRYPOINT ["sh", "-c"]', 'CMD ["echo $KIND $HOME; id -u; exit 4"]', "ENV KIND=own", "USER 55:66")
    job = start()
    done = job.action(image, state=None)
    assert done.status == 4 and done.output.split("\n")[-3:] == ["own /github/home", "55", ""], done
    done = job.action(image, "echo given; exit 6", state={})
    assert done.status == 6 and done.output.endswith("given\n"), done
    done = job.action(f"{registry}/absent/image:9", state=None)
    assert done.status == 1 and "absent/image:9" in done.output
    assert engine_has() == set()


@pytest.mark.long
def test_an_action_with_a_dockerfile_is_built_and_its_image_removed(start, image, tmp_path):
    job = start()
    folder = job.work / "_actions/team/action/v1"
    folder.mkdir(parents=True)
    (folder / "hello").write_text("from the context\n")
    (folder / "Dockerfile").write_text(f'FROM {image}\nCOPY hello /hello\nENTRYPOINT ["cat", "/hello"]\n')
    done = job.action(None, dockerfile=folder / "Dockerfile", state=None)
    assert done.status == 0 and done.output.endswith("from the context\n"), done
    (folder / "Dockerfile").write_text(f"FROM {image}\nRUN exit 3\n")
    done = job.action(None, dockerfile=folder / "Dockerfile", state=None)
    assert done.status == 1 and "build" in done.output, done
    (folder / "out").symlink_to(tmp_path)
    (tmp_path / "Dockerfile").write_text(f"FROM {image}\n")
    done = job.action(None, dockerfile=folder / "out/Dockerfile", state=None)
    assert done.status == 1 and "work folder" in done.output, done
    before = set(docker("ps", "-q").split())
    (folder / "Dockerfile").write_text(f"FROM {image}\nRUN echo building; sleep 600\n")
    running = job.start("run_container_step", job.action_args(None, [], folder / "Dockerfile"), state=None)
    await_line(running, "building")
    running.send_signal(signal.SIGINT)
    assert "cancelled" in running.communicate(timeout=30)[0] and running.returncode == 1
    wait_until(lambda: set(docker("ps", "-q").split()) <= before, "the end of the build", 30)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/bash").symlink_to("/bin/bash")
    without = start(path=str(tmp_path / "bin"))
    done = without.action(None, dockerfile=folder / "Dockerfile", state=None)
    assert done.status == 1 and "docker is not in PATH" in done.output, done
    assert engine_has() == set()


@pytest.mark.long
def test_logins_are_for_their_registry_and_are_seen_nowhere(start, image, closed_registry, closed_image, tmp_path):  # noqa: F811
    _, user, password = closed_registry
    done = start(container={"image": closed_image}).try_prepare()
    assert done.status == 1 and closed_image in done.output, done
    job = start(container={"image": closed_image, "credentials": {"username": user, "password": password}})
    done = job.prepare()
    assert password not in done.output
    assert job.run("echo runs").output == "runs\n"
    assert not subprocess.run(["grep", "-r", password, tmp_path / "home", job.state_folder], capture_output=True, text=True).stdout


@pytest.mark.long
def test_a_path_that_the_image_lacks_is_the_usual_one(start, image, registry):
    """docker import knows no PATH."""
    container = docker("create", image, "true").strip()
    name = f"{registry}/no-path-{uuid.uuid4().hex[:8]}:1"
    exported = subprocess.run(["docker", "export", container], check=True, capture_output=True).stdout
    subprocess.run(["docker", "import", "-", name], input=exported, check=True, capture_output=True)
    docker("rm", container)
    docker("push", name)
    job = start(container={"image": name})
    job.prepare()
    assert job.run("echo $PATH", prepend=["/added"]).output == "/added:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"


@pytest.mark.long
def test_a_new_job_removes_what_an_earlier_one_of_its_folder_has_left(start, image):
    job = start(container={"image": image})
    first = job.prepare().answer["context"]["container"]["id"]
    other = start(container={"image": image})
    other.prepare()
    job.state = None
    second = job.prepare().answer["context"]["container"]["id"]
    assert first not in docker("ps", "-aq", "--no-trunc") and second in docker("ps", "-aq", "--no-trunc")
    assert other.run("echo another").output == "another\n"


@pytest.mark.long
def test_an_agent_that_is_not_root_gets_its_folder_back(shim, image):
    user = 4321
    with tempfile.TemporaryDirectory() as place:  # that any user reaches
        os.chmod(place, 0o755)
        program = shutil.copy(SHIM, place)
        job = GitHubJob(Path(place) / "agent", shim.port, container={"image": image}, user=user, program=program)
        job.prepare()
        assert job.run("mkdir -p deep/er; echo x >deep/er/file; ln -s /etc deep/link; chmod 700 deep").status == 0
        assert (job.workspace / "deep").stat().st_uid == 0
        assert job.cleanup().status == 0
        assert {path.lstat().st_uid for path in job.work.rglob("*")} == {user}
        assert os.stat("/etc").st_uid == 0
        # No cleanup follows an action of a job without containers.
        job.state = None
        assert job.action(image, "-c", "mkdir -m 700 kept; touch kept/file; chown 77 kept", entrypoint="sh", state=None).status == 0
        assert {path.lstat().st_uid for path in job.work.rglob("*")} == {user}
        # Where the container has gone before.
        container = job.prepare().answer["context"]["container"]["id"]
        assert job.run("touch again").status == 0
        docker("rm", "-f", container)
        done = job.cleanup()
        assert done.status == 0 and {path.lstat().st_uid for path in job.work.rglob("*")} == {user}, done
        # Where it is removed while the hook waits for its runner, which has been stopped.
        container = job.prepare().answer["context"]["container"]["id"]
        assert job.run("touch once-more").status == 0
        os.kill(inspect(container)["State"]["Pid"], signal.SIGSTOP)
        cleanup = job.start("cleanup_job", {})
        wait_until(lambda: is_connected(cleanup.pid, other_than=shim.port), "a connection to the runner", 30, pause=0.02)
        docker("rm", "-f", container)
        output = cleanup.communicate(timeout=60)[0]
        assert cleanup.returncode == 0 and {path.lstat().st_uid for path in job.work.rglob("*")} == {user}, output
    assert engine_has() == set()


@pytest.mark.long
def test_a_job_of_a_dead_launcher_goes_with_its_owner(start, image):
    job = start(container={"image": image})
    (job.state_folder / "owner").touch()
    job.prepare()
    assert engine_has()
    wait_until(lambda: not engine_has(), "the job's removal", 120, pause=1)


@pytest.mark.long
def test_a_shim_that_is_not_there_fails_the_step(start, image, shim):
    job = start(container={"image": image})
    shim.kill()
    done = job.try_prepare()
    assert done.status == 1 and str(shim.port) in done.output, done


def test_a_wrong_command_line_names_the_flag(tmp_path):
    for flags, flag in (([], "--state"), (["--state", tmp_path, "--gpus", "many"], "--gpus"), (["--state", tmp_path, "--wrong"], "--wrong")):
        done = subprocess.run([SHIM, "ci", "github-hook", *flags], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert done.returncode == 2 and flag in done.stderr, done
