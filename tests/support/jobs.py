"""Jobs as a server sends them, made of the server's own models."""

import uuid
from datetime import datetime, timezone

from dstack._internal.core.models.configurations import TaskConfiguration
from dstack._internal.core.models.profiles import Profile
from dstack._internal.core.models.repos.virtual import VirtualRunRepoData
from dstack._internal.core.models.resources import ResourcesSpec
from dstack._internal.core.models.runs import (
    ClusterInfo,
    Job,
    JobSpec,
    JobStatus,
    JobSubmission,
    Requirements,
    Run,
    RunSpec,
    RunStatus,
)
from dstack._internal.server.services.runner.client import RunnerClient


def make_run(name: str = "test-run") -> Run:
    now = datetime.now(timezone.utc)
    run_spec = RunSpec(
        run_name=name,
        repo_id="test-repo",
        repo_data=VirtualRunRepoData(),
        configuration_path="dstack.yaml",
        configuration=TaskConfiguration(commands=["true"]),
        profile=Profile(name="default"),
        ssh_key_pub="",
    )
    return Run(
        id=uuid.uuid4(),
        project_name="test-project",
        user="test-user",
        submitted_at=now,
        last_processed_at=now,
        status=RunStatus.RUNNING,
        run_spec=run_spec,
        jobs=[],
    )


def make_job(commands: list[str], **spec) -> Job:
    now = datetime.now(timezone.utc)
    job_spec = JobSpec(
        **{
            "job_num": 0,
            "job_name": "test-run-0-0",
            "commands": commands,
            "env": {},
            "image_name": "unused",
            "requirements": Requirements(resources=ResourcesSpec()),
            "repo_data": VirtualRunRepoData(),
            "repo_dir": "/workflow",
            **spec,
        }
    )
    submission = JobSubmission(
        id=uuid.uuid4(), submission_num=0, submitted_at=now, last_processed_at=now, status=JobStatus.RUNNING
    )
    return Job(job_spec=job_spec, job_submissions=[submission])


def submit(runner: RunnerClient, commands: list[str], *, secrets: dict[str, str] | None = None, **spec) -> None:
    runner.submit_job(
        run=make_run(),
        job=make_job(commands, **spec),
        cluster_info=ClusterInfo(job_ips=[""], master_job_ip="", gpus_per_job=0, gpus_per_node=[0]),
        secrets=secrets or {},
        repo_credentials=None,
    )
