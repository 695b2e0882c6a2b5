"""Starts the stock server of dstack with shorter pauses between two looks at a job, a run or an instance.

    <environment>/bin/python dstack_server_main.py server -y

The pauses are divided by DSTACK_TEST_FAST; nothing else of what the server does or asks for changes.
"""

import datetime
import importlib
import inspect
import os
import pkgutil
import sys

import dstack._internal.server.background.pipeline_tasks as tasks
from dstack._internal.server.background.pipeline_tasks.base import Pipeline

FAST = float(os.environ["DSTACK_TEST_FAST"])


def shorten(pipeline: type) -> None:
    """Divides the default of the pause between two looks at one thing."""
    start = pipeline.__init__
    if not start.__defaults__:
        return
    parameters = inspect.signature(start).parameters.values()
    with_default = [p for p in parameters if p.default is not p.empty and p.kind is not p.KEYWORD_ONLY]
    start.__defaults__ = tuple(
        p.default / FAST if p.name == "min_processing_interval" and isinstance(p.default, datetime.timedelta) else p.default
        for p in with_default
    )


found = set()
for module in pkgutil.walk_packages(tasks.__path__, tasks.__name__ + "."):
    for value in vars(importlib.import_module(module.name)).values():
        if inspect.isclass(value) and issubclass(value, Pipeline) and "__init__" in vars(value):
            found.add(value)
for pipeline in found:
    shorten(pipeline)

from dstack._internal.cli.main import main  # noqa: E402

sys.argv[0] = "dstack"
main()
