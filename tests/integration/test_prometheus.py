"""The metrics, the alerts and the dashboard, judged by Prometheus itself."""

import json
import subprocess
import uuid

import pytest
import requests
from conftest import docker
from support.hosts import stand_in_runner
from support.processes import ROOT, Program, Shim, free_port, wait_until
from support.shim_calls import Calls

RULES = ROOT / "docs/prometheus"
DASHBOARD = ROOT / "docs/grafana/dashboard.json"


def promtool(*arguments, **more) -> subprocess.CompletedProcess:
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scraped")
    with Shim(folder / "home", runner=stand_in_runner(folder / "leaving", "exit 0")) as running:
        yield Calls(running.wait_ready())


@pytest.fixture(scope="module")
def prometheus(shim, tmp_path_factory) -> str:
    """Its URL; it has scraped the shim since before the shim's first task."""
    folder = tmp_path_factory.mktemp("prometheus")
    target = shim.url.removeprefix("http://")
    configuration = folder / "prometheus.yml"
    configuration.write_text(
        "global: {scrape_interval: 1s}\n"
        f"scrape_configs: [{{job_name: dstack-shim, static_configs: [{{targets: ['{target}']}}]}}]\n"
        f"rule_files: ['{RULES / 'alerts.yml'}']\n"
    )
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}"]
    with Program(command, folder / "prometheus.log"):
        url = f"http://{address}"
        wait_until(lambda: query(url, 'up{job="dstack-shim"} == 1'), "the first scrape", 60, pause=0.2)
        yield url


def query(url: str, expression: str) -> list:
    try:
        answer = requests.get(f"{url}/api/v1/query", params={"query": expression}, timeout=10)
    except requests.ConnectionError:
        return []
    if answer.status_code == 503:  # it is starting
        return []
    assert answer.ok, answer.text
    return answer.json()["data"]["result"]


def expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


@pytest.fixture(scope="module")
def used(shim, prometheus, registry, image) -> str:
    """Prometheus' URL, once the shim has pulled an image, failed to pull another one and run tasks."""
    name = f"{registry}/watched-{uuid.uuid4().hex[:8]}:1"
    docker("pull", image)
    docker("tag", image, name)
    docker("push", name)
    docker("rmi", name)
    tasks = [shim.submit(wanted, network_mode="bridge") for wanted in (name, f"{registry}/not-there:1")]
    for task in tasks:
        shim.wait_for(task, "terminated")
    yield prometheus
    for task in tasks:
        shim.remove(task)
    subprocess.run(["docker", "rmi", "-f", name], capture_output=True)


def test_promtool_finds_nothing_wrong_with_the_metrics(shim):
    promtool("check", "metrics", input=requests.get(f"{shim.url}/metrics", timeout=10).text)


def test_the_alerts_are_valid_and_fire_when_they_should():
    promtool("check", "rules", RULES / "alerts.yml")
    promtool("test", "rules", RULES / "alerts_test.yml")


def test_every_alert_is_tested():
    names = [line.split(": ")[1] for line in (RULES / "alerts.yml").read_text().splitlines() if line.strip().startswith("- alert: ")]
    tested = (RULES / "alerts_test.yml").read_text()
    assert [name for name in names if f"alertname: {name}\n" not in tested] == []


@pytest.mark.parametrize("expression", expressions())
def test_every_query_of_the_dashboard_is_answered_with_data(used, expression):
    asked = expression.replace("$__rate_interval", "5m").replace("$instance", ".*")

    def numbers() -> list[float]:
        return [value for value in (float(sample["value"][1]) for sample in query(used, asked)) if value == value]

    wait_until(numbers, f"data of {asked}", 60, pause=0.5)
