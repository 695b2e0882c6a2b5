"""What a Prometheus sees of the shim itself."""

import subprocess
import uuid
from pathlib import Path

import pytest
from conftest import docker
from prometheus_client.parser import text_string_to_metric_families
from support.hosts import stand_in_runner
from support.processes import Shim
from support.shim_calls import Calls

# What the host is short of; a kernel may be built without pressure stall information.
HOST = {
    f"dstack_shim_host_{name}": "gauge"
    for name in ("memory_bytes", "memory_available_bytes", "pids", "pids_limit")
    + ("disk_bytes", "disk_free_bytes", "disk_inodes", "disk_free_inodes")
}
if Path("/proc/pressure/cpu").exists():
    HOST["dstack_shim_host_pressure_seconds"] = "counter"

STATUSES = {"pending", "preparing", "pulling", "creating", "running", "terminated"}


class Scrape:
    """One answer of /metrics, read by Prometheus' own parser."""

    def __init__(self, shim: Calls):
        self.answer = shim.get("/metrics")
        assert self.answer.status_code == 200, self.answer.text
        self.families = {family.name: family for family in text_string_to_metric_families(self.answer.text)}

    def value(self, name: str, **labels) -> float:
        found = [sample.value for family in self.families.values() for sample in family.samples if sample.name == name and sample.labels == labels]
        assert len(found) == 1, (name, labels, self.answer.text)
        return found[0]


@pytest.fixture
def running(home, tmp_path):
    with Shim(home, runner=stand_in_runner(tmp_path / "leaving", "exit 0")) as shim:
        yield Calls(shim.wait_ready())


@pytest.fixture
def fresh_image(registry, image) -> str:
    """In the registry, and nowhere else."""
    name = f"{registry}/scraped-{uuid.uuid4().hex[:8]}:1"
    docker("pull", image)
    docker("tag", image, name)
    docker("push", name)
    docker("rmi", name)
    yield name
    subprocess.run(["docker", "rmi", "-f", name], capture_output=True)


def test_every_metric_is_there_from_the_start(running):
    scrape = Scrape(running)
    assert scrape.answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    # The parser takes "_total" off a counter's name.
    types = {name: family.type for name, family in scrape.families.items()}
    assert types == {
        "dstack_shim_build_info": "gauge",
        "dstack_shim_images_removed": "counter",
        **HOST,
        "dstack_shim_tasks": "gauge",
        "dstack_shim_drained": "gauge",
        "dstack_shim_gpus": "gauge",
        "dstack_shim_gpus_slowed_by_heat": "gauge",
        "dstack_shim_gpu_outside_processes": "gauge",
        "dstack_shim_gpu_outside_memory_bytes": "gauge",
        "dstack_shim_gpu_driver_mismatch": "gauge",
        "dstack_shim_image_pull_duration_seconds": "histogram",
        "dstack_shim_image_pull_failures": "counter",
        "dstack_shim_task_start_duration_seconds": "histogram",
        "dstack_shim_image_pull_activity_seconds": "counter",
        "dstack_shim_http_requests": "counter",
        "dstack_shim_host_keys_left": "counter",
        "process_resident_memory_bytes": "gauge",
        "process_virtual_memory_bytes": "gauge",
        "process_open_fds": "gauge",
        "process_max_fds": "gauge",
        "process_cpu_seconds": "counter",
        "process_start_time_seconds": "gauge",
    }
    assert all(family.documentation for family in scrape.families.values())
    assert {s.labels["status"]: s.value for s in scrape.families["dstack_shim_tasks"].samples} == dict.fromkeys(STATUSES, 0)
    assert all(s.value == 0 for s in scrape.families["dstack_shim_image_pull_failures"].samples)
    assert scrape.value("dstack_shim_task_start_duration_seconds_count") == 0
    version = running.get("/api/healthcheck").json()["version"]
    assert scrape.value("dstack_shim_build_info", version=version) == 1


def test_what_happens_is_counted(running, fresh_image, registry):
    good = running.submit(fresh_image)
    running.wait_for(good, "terminated")
    bad = running.run(f"{registry}/not-there-{uuid.uuid4().hex[:8]}:1")
    assert bad["status"] == "terminated"
    # The image is there by now: a start without a pull.
    again = running.submit(fresh_image)
    running.wait_for(again, "terminated")
    running.get("/no/such/path")
    running.get("/another")
    running.get("/api/tasks/unknown")
    scrape = Scrape(running)
    assert scrape.value("dstack_shim_tasks", status="terminated") == 3
    assert scrape.value("dstack_shim_tasks", status="running") == 0
    pulls, starts = "dstack_shim_image_pull_duration_seconds", "dstack_shim_task_start_duration_seconds"
    assert scrape.value(f"{pulls}_count") == scrape.value(f"{pulls}_bucket", le="+Inf") == 1
    assert scrape.value(f"{starts}_count") == scrape.value(f"{starts}_bucket", le="+Inf") == 2
    assert 0 < scrape.value(f"{pulls}_sum") <= scrape.value(f"{starts}_sum")
    for name in (pulls, starts):
        counts = [sample.value for sample in scrape.families[name].samples if sample.name.endswith("_bucket")]
        assert counts == sorted(counts) and len(counts) > 10
    failures = {s.labels["reason"]: s.value for s in scrape.families["dstack_shim_image_pull_failures"].samples}
    assert failures.pop("not_found") == 1 and not any(failures.values())
    requests = "dstack_shim_http_requests_total"
    assert scrape.value(requests, route="/api/tasks", code="200") == 3
    assert scrape.value(requests, route="/api/tasks/{id}", code="404") == 1
    assert scrape.value(requests, route="unknown", code="404") == 2
    assert good not in scrape.answer.text and "scraped" not in scrape.answer.text


def test_the_process_figures_are_those_of_a_small_daemon(running):
    scrape = Scrape(running)
    assert 1 << 20 < scrape.value("process_resident_memory_bytes") < 100 << 20
    assert scrape.value("process_resident_memory_bytes") <= scrape.value("process_virtual_memory_bytes")
    assert 3 < scrape.value("process_open_fds") < scrape.value("process_max_fds")
