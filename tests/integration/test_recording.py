"""The recording in the README is made from a real session."""

import subprocess
import xml.etree.ElementTree as ElementTree

import pytest
from support.processes import ROOT, SHIM


@pytest.fixture
def large_image(registry, image, tmp_path) -> str:
    """An image in the registry that the engine does not have, large enough for its pull to be seen."""
    name = f"{registry}/app:1"
    (tmp_path / "Dockerfile").write_text(f"FROM {image}\nCOPY data /data\n")
    with (tmp_path / "data").open("wb") as data:
        subprocess.run(["head", "-c", "120000000", "/dev/urandom"], stdout=data, check=True)
    for command in (["build", "-q", "-t", name, str(tmp_path)], ["push", "-q", name], ["rmi", name]):
        subprocess.run(["docker", *command], check=True, capture_output=True)
    subprocess.run(["docker", "builder", "prune", "-af"], capture_output=True)
    yield name
    subprocess.run(["docker", "rmi", "-f", name], capture_output=True)


@pytest.mark.long
def test_a_recording_is_drawn_and_only_of_a_real_session(shim, large_image, tmp_path):
    output = tmp_path / "recording.svg"
    command = [ROOT / "scripts/recording", "--image", large_image, "--output", output, "--shim", SHIM, "--port", str(shim.port)]
    made = subprocess.run(command, capture_output=True, text=True, timeout=400)
    assert made.returncode == 0, made.stderr
    text = "".join(ElementTree.parse(output).getroot().itertext())
    for shown in ("pulling [", "hello from a container", "status 3", "train", "dstack-shim doctor"):
        assert shown in text
    output.unlink()
    (tmp_path / "other.log").write_text("nothing\n")
    refused = subprocess.run([*command, "--log", tmp_path / "other.log"], capture_output=True, text=True, timeout=400)
    assert refused.returncode == 1 and "not in the shim's log" in refused.stderr
    assert not output.exists()
