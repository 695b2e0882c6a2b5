"""The real client of dstack 0.22.5 drives both programs: the judge of the wire format."""

import uuid
from datetime import datetime, timezone

import pytest
from dstack._internal.core.models.common import NetworkMode
from dstack._internal.server.schemas.runner import TaskStatus
from dstack._internal.server.services.runner.client import RunnerClient, ShimClient
from support import jobs
from support.processes import wait_until


def submit_task(client: ShimClient, image: str, network_mode: NetworkMode) -> str:
    task_id = str(uuid.uuid4())
    client.submit_task(
        task_id=task_id,
        name="real-client",
        registry_username="",
        registry_password="",
        image_name=image,
        container_user="root",
        privileged=False,
        gpu=0,
        cpu=None,
        memory=None,
        shm_size=None,
        network_mode=network_mode,
        volumes=[],
        volume_mounts=[],
        instance_mounts=[],
        gpu_devices=[],
        host_ssh_user="",
        host_ssh_keys=[],
        container_ssh_keys=[],
        instance_id="i-1",
    )
    return task_id


def pull_to_the_end(runner: RunnerClient) -> tuple[str, list]:
    """Follows last_updated as a server does; the job's output and its states."""
    output, states, timestamp = b"", [], 0

    def pull() -> bool:
        nonlocal output, timestamp
        answer = runner.pull(timestamp)
        timestamp = answer.last_updated
        output += b"".join(event.message for event in answer.job_logs)
        states.extend(answer.job_states)
        return not answer.has_more

    wait_until(pull, "the end of the job's logs")
    return output.decode(), states


@pytest.mark.parametrize("network_mode", [NetworkMode.BRIDGE, NetworkMode.HOST])
def test_a_job_goes_from_submit_to_its_last_line(shim, image, network_mode):
    client = ShimClient(port=shim.port)
    assert client.healthcheck().service == "dstack-shim"
    task_id = submit_task(client, image, network_mode)
    task = wait_until(
        lambda: (info := client.get_task(task_id)).status in (TaskStatus.RUNNING, TaskStatus.TERMINATED) and info,
        "the container's start",
    )
    assert task.status == TaskStatus.RUNNING, task
    if network_mode == NetworkMode.BRIDGE:
        port = next(mapping.host for mapping in task.ports if mapping.container == 10999)
    else:
        assert task.ports == []
        port = 10999

    runner = RunnerClient(port=port)
    wait_until(runner.healthcheck, "the runner's healthcheck")
    jobs.submit(runner, ["/bin/sh", "-c", "echo first; echo $DSTACK_RUN_NAME; exit 3"])
    info = runner.run_job()
    assert info.username == "root"
    output, states = pull_to_the_end(runner)
    assert output == "first\ntest-run\n"
    assert [state.state.value for state in states] == ["running", "failed"]
    assert states[-1].exit_status == 3
    assert states[-1].termination_reason == "container_exited_with_error"

    # The runner ends by itself once its logs are read, with status 0 whatever the job's was.
    wait_until(lambda: client.get_task(task_id).status == TaskStatus.TERMINATED, "the container's end")
    assert client.get_task(task_id).termination_reason == "done_by_runner"
    client.terminate_task(task_id, reason="terminated_by_server", timeout=0)
    assert client.get_task(task_id).termination_reason == "done_by_runner"
    client.remove_task(task_id)
    assert client.list_tasks().tasks == []


def test_a_running_task_is_terminated_and_removed(shim, image):
    client = ShimClient(port=shim.port)
    task_id = submit_task(client, image, NetworkMode.BRIDGE)
    wait_until(lambda: client.get_task(task_id).status == TaskStatus.RUNNING, "the container's start")
    client.terminate_task(task_id, reason="aborted_by_user", message="enough", timeout=0)
    task = client.get_task(task_id)
    assert task.status == TaskStatus.TERMINATED
    assert (task.termination_reason, task.termination_message) == ("aborted_by_user", "enough")
    client.remove_task(task_id)
    assert client.list_tasks().tasks == []


def test_metrics_are_read_by_the_client(shim, image):
    client = ShimClient(port=shim.port)
    task_id = submit_task(client, image, NetworkMode.BRIDGE)
    task = wait_until(
        lambda: (info := client.get_task(task_id)).status == TaskStatus.RUNNING and info.ports and info, "the start"
    )
    runner = RunnerClient(port=next(mapping.host for mapping in task.ports if mapping.container == 10999))
    wait_until(runner.healthcheck, "the runner's healthcheck")
    metrics = runner.get_metrics()
    assert metrics.memory_usage_bytes > 0
    assert abs(metrics.timestamp_micro / 1e6 - datetime.now(timezone.utc).timestamp()) < 60
