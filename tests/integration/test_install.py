"""scripts/install.sh, in a root of its own and on a machine of its own."""

import shutil
import subprocess
from pathlib import Path

import pytest
from support.machine import Machine
from support.processes import ROOT, RUNNER, SHIM, wait_until
from support.releases import make_release, name_here, write_sums
from support.web import FolderServer

pytestmark = pytest.mark.release

SCRIPT = ROOT / "scripts/install.sh"
PROGRAMS = {"dstack-shim": SHIM, "dstack-runner": RUNNER}


def install(*arguments, shell=("sh",), check: bool = True, **more) -> subprocess.CompletedProcess:
    command = [*shell, SCRIPT, *map(str, arguments)]
    done = subprocess.run(command, **{"capture_output": True, "text": True, "timeout": 60, **more})
    assert not check or done.returncode == 0, done.stderr
    return done


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> Path:
    return make_release(tmp_path_factory.mktemp("release") / "binaries")


@pytest.fixture
def root(tmp_path) -> Path:
    path = tmp_path / "root"
    (path / "etc/systemd/system").mkdir(parents=True)
    return path


def test_a_runner_gets_the_programs_alone(release, root):
    install("--runner", "--from", release, "--root", root)
    assert sorted(files(root)) == ["usr/local/bin/dstack-runner", "usr/local/bin/dstack-shim"]
    dry = install("--runner", "--dry-run", "--from", release, "--root", root)
    assert "dstack-shim.service" not in dry.stdout and "etc/default" not in dry.stdout


@pytest.mark.parametrize("shell", [("sh",), ("bash", "--posix"), ("busybox", "sh")], ids=lambda shell: " ".join(shell))
def test_a_folder_is_installed(release, root, shell):
    install("--from", release, "--root", root, shell=shell)
    for program, binary in PROGRAMS.items():
        target = root / "usr/local/bin" / program
        assert target.read_bytes() == binary.read_bytes()
        assert target.stat().st_mode & 0o777 == 0o755
    assert "ExecStart=/usr/local/bin/dstack-shim\n" in (root / "etc/systemd/system/dstack-shim.service").read_text()
    assert sorted(path.name for path in (root / "usr/local/bin").iterdir()) == ["dstack-runner", "dstack-shim"]


def test_a_url_is_installed_by_a_script_from_a_pipe(release, root):
    with FolderServer(release) as server:
        piped = ["sh", "-s", "--", "--from", server.url + "/", "--root", str(root)]
        done = subprocess.run(piped, input=SCRIPT.read_text(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (root / "usr/local/bin/dstack-shim").read_bytes() == SHIM.read_bytes()


def test_busybox_is_enough_of_a_system(release, root, tmp_path):
    programs = tmp_path / "programs"
    programs.mkdir()
    subprocess.run(["busybox", "--install", "-s", programs], check=True)
    with FolderServer(release) as server:
        install("--from", server.url, "--root", root, shell=["busybox", "sh"], env={"PATH": str(programs)})
    assert (root / "usr/local/bin/dstack-runner").read_bytes() == RUNNER.read_bytes()


def test_another_binary_than_the_checksums_say_is_not_installed(release, root, tmp_path):
    changed = shutil.copytree(release, tmp_path / "changed")
    with (changed / name_here("dstack-runner")).open("ab") as file:
        file.write(b"x")
    before = files(root)
    done = install("--from", changed, "--root", root, check=False)
    assert done.returncode == 1
    assert f"{name_here('dstack-runner')} is not what SHA256SUMS says" in done.stderr
    assert files(root) == before
    assert list((root / "usr/local/bin").iterdir()) == []


def test_a_url_without_checksums_is_refused(root, tmp_path):
    with FolderServer(make_release(tmp_path / "unchecked", sums=False)) as server:
        done = install("--from", server.url, "--root", root, check=False)
    assert done.returncode == 1
    assert "nothing is installed unchecked" in done.stderr
    assert list((root / "usr/local/bin").iterdir()) == []


def test_what_is_no_program_of_ours_is_not_installed(root, tmp_path):
    release = make_release(tmp_path / "wrong", sums=False)
    shutil.copy(release / name_here("dstack-runner"), release / name_here("dstack-shim"))
    write_sums(release)
    done = install("--from", release, "--root", root, check=False)
    assert done.returncode == 1
    assert "instead of its name and version" in done.stderr
    assert list((root / "usr/local/bin").iterdir()) == []


def test_a_dry_run_changes_nothing(release, root):
    done = install("--from", release, "--root", root, "--dry-run")
    assert "would: mv" in done.stdout
    assert files(root) == {}
    install("--from", release, "--root", root)
    before = files(root)
    assert "would: rm" in install("--uninstall", "--root", root, "--dry-run").stdout
    assert files(root) == before


def test_an_upgrade_can_be_reverted(release, root):
    binaries = root / "usr/local/bin"
    binaries.mkdir(parents=True)
    for program in PROGRAMS:
        (binaries / program).write_text(f"#!/bin/sh\necho {program} before\n")
    settings = root / "etc/default/dstack-shim"
    settings.parent.mkdir(parents=True)
    settings.write_text("DSTACK_SHIM_LOG_LEVEL=debug\n")
    install("--from", release, "--root", root)
    # Once more: what was there at first is still the way back.
    install("--from", release, "--root", root)
    assert settings.read_text() == "DSTACK_SHIM_LOG_LEVEL=debug\n"
    install("--revert", "--root", root)
    assert (binaries / "dstack-shim").read_text() == "#!/bin/sh\necho dstack-shim before\n"
    assert (binaries / "dstack-runner").read_text() == "#!/bin/sh\necho dstack-runner before\n"
    assert "Type=simple" in (root / "etc/systemd/system/dstack-shim.service.d/revert.conf").read_text()
    assert install("--revert", "--root", root, check=False).returncode == 1
    install("--from", release, "--root", root)
    assert not (root / "etc/systemd/system/dstack-shim.service.d/revert.conf").exists()


def test_uninstalling_leaves_settings_and_other_peoples_unit(release, root):
    unit = root / "etc/systemd/system/dstack-shim.service"
    install("--from", release, "--root", root)
    install("--uninstall", "--root", root)
    assert list(files(root)) == ["etc/default/dstack-shim"]
    unit.write_text("[Service]\nExecStart=/usr/local/bin/dstack-shim\n")
    install("--from", release, "--root", root)
    assert "it stays" in install("--uninstall", "--root", root).stderr
    assert unit.read_text() == "[Service]\nExecStart=/usr/local/bin/dstack-shim\n"


def test_the_unit_is_understood_by_systemd(root, tmp_path):
    unit = tmp_path / "dstack-shim.service"
    unit.write_text(install("--print-unit").stdout.replace("ExecStart=/usr/local/bin/dstack-shim", "ExecStart=/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_keeps_all_of_roots_capabilities_on_every_systemd():
    """From systemd 255 on, User=root with NoNewPrivileges and SystemCallFilter costs CAP_SETUID."""
    settings = [line.partition("=")[::2] for line in install("--print-unit").stdout.splitlines()]
    names = {name for name, _ in settings}
    assert {"NoNewPrivileges", "SystemCallFilter"} <= names
    assert not {"User", "Group", "DynamicUser"} & names
    assert ("Environment", "HOME=/root") in settings


def test_without_a_service_manager_it_says_how_to_start(release, tmp_path):
    with Machine(tmp_path / "machine") as machine:
        done = machine.run("sh", SCRIPT, "--from", release)
        assert "no systemd here" in done.stderr
        loop = done.stdout.strip()
        machine.run("sh", "-c", loop)
        url = "http://127.0.0.1:10998/api"
        wait_until(lambda: machine.run("curl", "-sf", f"{url}/healthcheck", check=False).returncode == 0, "the shim")
        first = machine.run("pidof", "dstack-shim").stdout
        # What a server does after an update; the loop starts the shim again.
        machine.run("curl", "-sf", "-d", '{"force":false}', "-H", "Content-Type: application/json", f"{url}/shutdown")
        wait_until(lambda: machine.run("pidof", "dstack-shim", check=False).stdout not in ("", first), "the next shim")
        wait_until(lambda: machine.run("curl", "-sf", f"{url}/healthcheck", check=False).returncode == 0, "the next shim's answer")
