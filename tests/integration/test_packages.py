"""What scripts/dist makes: packages, tarball, SBOM, checksums."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from support.machine import Machine
from support.processes import ARCHITECTURE, ROOT, wait_until
from support.releases import make_release

pytestmark = pytest.mark.release

COMPLETIONS = {"bash": ["bash", "-n"], "zsh": ["zsh", "-n"], "fish": ["fish", "-n"]}
FIXED_DATE = "1790000000"


def run(*command, check: bool = True, **more) -> subprocess.CompletedProcess:
    done = subprocess.run([str(word) for word in command], **{"capture_output": True, "text": True, **more})
    assert not check or done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done


def package(checkout: Path, binaries: Path, target: Path, *arguments) -> Path:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": FIXED_DATE}
    run(checkout / "scripts/dist", "--built", "--from", binaries, "--to", target, *arguments, env=environment)
    return target


@pytest.fixture(scope="module")
def binaries(tmp_path_factory) -> Path:
    return make_release(tmp_path_factory.mktemp("binaries") / "release", sums=False)


@pytest.fixture(scope="module")
def release(tmp_path_factory, binaries) -> Path:
    return package(ROOT, binaries, tmp_path_factory.mktemp("packages") / "release", "--arch", ARCHITECTURE)


def only(folder: Path, pattern: str) -> Path:
    found = list(folder.glob(pattern))
    assert len(found) == 1, found
    return found[0]


@pytest.mark.long
def test_both_architectures_are_packaged(binaries, tmp_path):
    names = [path.name for path in package(ROOT, binaries, tmp_path / "both").iterdir()]
    for ending in ("_amd64.deb", "_arm64.deb", ".x86_64.rpm", ".aarch64.rpm", "-linux-amd64.tar.gz", "-linux-arm64.tar.gz"):
        assert [name for name in names if name.endswith(ending)], names


def test_every_file_is_in_the_checksums(release):
    names = sorted(path.name for path in release.iterdir())
    listed = [line.split()[1] for line in (release / "SHA256SUMS").read_text().splitlines()]
    assert sorted([*listed, "SHA256SUMS"]) == names
    run("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=release)


def test_the_same_sources_in_another_folder_give_the_same_bytes(release, binaries, tmp_path):
    checkout = tmp_path / "elsewhere"
    for name in ("README.md", "NOTICE", "LICENSE", "CHANGELOG.md", "THIRD-PARTY-NOTICES.md", "docs", "packaging", "scripts", "cmake"):
        source = ROOT / name
        copied = checkout / name
        copied.parent.mkdir(parents=True, exist_ok=True)
        # New times and modes of the checkout must not matter.
        shutil.copytree(source, copied, copy_function=shutil.copy) if source.is_dir() else shutil.copy(source, copied)
    again = package(checkout, binaries, tmp_path / "again", "--arch", ARCHITECTURE)
    assert (again / "SHA256SUMS").read_text() == (release / "SHA256SUMS").read_text()


def test_the_debian_package_has_the_programs_the_unit_and_its_settings_as_conffile(release, tmp_path):
    file = only(release, f"*_{ARCHITECTURE}.deb")
    run("dpkg-deb", "--extract", file, tmp_path / "files")
    run("dpkg-deb", "--control", file, tmp_path / "control")
    for program in ("dstack-shim", "dstack-runner"):
        said = run(tmp_path / "files/usr/bin" / program, "--version").stdout
        assert said.startswith(f"{program} version ")
    unit = (tmp_path / "files/usr/lib/systemd/system/dstack-shim.service").read_text()
    assert "ExecStart=/usr/bin/dstack-shim\n" in unit
    assert "DSTACK_SHIM_BINARY_PATH=/usr/bin/dstack-shim" in unit and "DSTACK_RUNNER_BINARY_PATH=/usr/bin/dstack-runner" in unit
    assert "/usr/local" not in unit
    assert (tmp_path / "control/conffiles").read_text() == "/etc/default/dstack-shim\n"
    for script in ("preinst", "postinst", "prerm", "postrm"):
        run("sh", "-n", tmp_path / "control" / script)


def test_the_rpm_installs_into_an_empty_tree_and_its_scripts_can_be_read(release, tmp_path):
    file = only(release, "*.x86_64.rpm" if ARCHITECTURE == "amd64" else "*.aarch64.rpm")
    root = tmp_path / "root"
    root.mkdir()
    run("rpm", "--root", root, "--initdb")
    run("rpm", "--root", root, "--nodeps", "--install", "--noscripts", file)
    assert run(root / "usr/bin/dstack-shim", "--version").stdout.startswith("dstack-shim version ")
    assert "/etc/default/dstack-shim" in run("rpm", "--root", root, "-qc", "dstack-shim").stdout
    scripts = run("rpm", "-qp", "--scripts", file).stdout
    for kind in ("preinstall", "postinstall", "preuninstall", "postuninstall"):
        assert f"{kind} scriptlet (using /bin/sh):" in scripts
    body = "\n".join(line for line in scripts.splitlines() if not line.endswith("scriptlet (using /bin/sh):"))
    run("sh", "-n", input=body)


def test_rpmlint_finds_nothing_without_a_known_reason(release, tmp_path):
    file = only(release, "*.x86_64.rpm" if ARCHITECTURE == "amd64" else "*.aarch64.rpm")
    found = run("rpmlint", "--config", ROOT / "packaging/rpm/rpmlint.toml", file)
    assert " 0 errors, 0 warnings" in found.stdout, found.stdout
    # It would find something.
    (tmp_path / "empty.toml").write_text("")
    assert "statically-linked-binary" in run("rpmlint", "--config", tmp_path / "empty.toml", file, check=False).stdout


def test_the_sbom_is_valid_and_names_every_library_that_is_carried(release):
    text = only(release, "*.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    names = {component["name"] for component in json.loads(text)["components"]}
    notices = (ROOT / "THIRD-PARTY-NOTICES.md").read_text()
    carried = {line.split()[1] for line in notices.splitlines() if line.startswith("## ") and line.endswith(")")}
    assert carried - {"zig"} <= names
    assert {"musl", "libc++"} <= names


def test_man_pages_and_completions_are_those_of_the_options(release):
    run(ROOT / "scripts/manual", "--check")


def test_completions_can_be_read_by_their_shells():
    folder = ROOT / "packaging/completions"
    for program in ("dstack-shim", "dstack-runner"):
        for shell, file in (("bash", f"{program}.bash"), ("zsh", f"_{program}"), ("fish", f"{program}.fish")):
            run(*COMPLETIONS[shell], folder / file)


def test_bash_completes_commands_and_their_options():
    script = (
        f'source {ROOT}/packaging/completions/dstack-shim.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _dstack_shim; echo "${{COMPREPLY[*]}}"'
    )

    def completed(*words: str) -> list[str]:
        return run("bash", "-c", script, "bash", *words).stdout.split()

    assert completed("dstack-shim", "--shim-http-port", "1", "do") == ["doctor"]
    assert "--follow" in completed("dstack-shim", "logs", "--f")
    assert completed("dstack-shim", "--shim-http-port", "do") == []


@pytest.mark.parametrize("program", ["dstack-shim", "dstack-runner"])
def test_the_man_pages_have_no_errors(program):
    run("mandoc", "-T", "lint", "-W", "error", ROOT / f"packaging/man/{program}.1")


# Under a real systemd.


@pytest.fixture(scope="module")
def host(tmp_path_factory, image, release):
    with Machine(tmp_path_factory.mktemp("packaged") / "machine", image, systemd=True) as machine:
        yield machine


def install(host: Machine, file: Path, check: bool = True) -> subprocess.CompletedProcess:
    host.run("mkdir", "-p", "/packages")
    host.run("sh", "-c", f"cat >/packages/{file.name}", input=file.read_bytes(), text=False)
    return host.run("dpkg", "--install", "--force-depends", f"/packages/{file.name}", check=check)


def answers(host: Machine) -> bool:
    return host.run("curl", "-sf", "http://127.0.0.1:10998/api/healthcheck", check=False).returncode == 0


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_second_copy_is_refused_and_tasks_outlive_upgrade_and_removal(host, release, image, tmp_path, binaries):
    file = only(release, f"*_{ARCHITECTURE}.deb")
    host.run("sh", ROOT / "scripts/install.sh", "--from", make_release(tmp_path / "release"), "--no-start")
    refused = install(host, file, check=False)
    assert refused.returncode != 0 and "install.sh --uninstall" in refused.stderr
    host.run("sh", ROOT / "scripts/install.sh", "--uninstall")

    install(host, file)
    wait_until(lambda: answers(host), "the packaged shim", 60, pause=0.2)
    assert host.run("systemctl", "is-enabled", "dstack-shim").stdout.strip() == "enabled"
    refused = host.run("sh", ROOT / "scripts/install.sh", "--from", make_release(tmp_path / "again"), check=False)
    assert refused.returncode != 0 and "dpkg" in refused.stderr

    task = host.run("dstack-shim", "run", "--detach", "--image", image, "--", "sleep", "1000").stdout.strip()
    container = host.run("docker", "ps", "-q", "--filter", f"label=ai.dstack.shim.task-id={task}").stdout.strip()
    before = host.run("systemctl", "show", "-p", "MainPID", "--value", "dstack-shim").stdout
    newer = only(package(ROOT, binaries, tmp_path / "newer", "--arch", ARCHITECTURE, "--version", "99.0.0"), "*.deb")
    install(host, newer)
    wait_until(
        lambda: host.run("systemctl", "show", "-p", "MainPID", "--value", "dstack-shim").stdout not in (before, "0\n"),
        "the new process",
        60,
        pause=0.2,
    )
    wait_until(lambda: answers(host), "the upgraded shim", 60, pause=0.2)
    assert host.run("docker", "inspect", "-f", "{{.State.Running}}", container).stdout.strip() == "true"
    assert "running" in host.run("dstack-shim", "ps").stdout

    host.run("dpkg", "--remove", "dstack-shim")
    assert not answers(host)
    assert host.run("docker", "inspect", "-f", "{{.State.Running}}", container).stdout.strip() == "true"
    assert host.run("test", "-e", "/etc/default/dstack-shim").returncode == 0
    host.run("dpkg", "--purge", "dstack-shim")
    assert host.run("test", "-e", "/etc/default/dstack-shim", check=False).returncode == 1
