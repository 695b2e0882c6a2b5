"""What the sanitizers of the programs under test report.

scripts/test --all runs tests with programs that were built with AddressSanitizer and UndefinedBehaviorSanitizer, or with
ThreadSanitizer, and names a folder in DSTACK_TEST_SANITIZER_REPORTS. Each process writes its reports into a file there
(`log_path` in ASAN_OPTIONS and TSAN_OPTIONS), so that those of a shim that was restarted are not lost. What a test starts
with another environment reports on standard error, which is in its log, and so does a runner in a container.
"""

import os
from pathlib import Path

FOLDER = os.environ.get("DSTACK_TEST_SANITIZER_REPORTS")
SIGNS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "ERROR: ThreadSanitizer", "WARNING: ThreadSanitizer", ": runtime error: ")


def is_report(text: str) -> bool:
    return any(sign in text for sign in SIGNS)


def keep_report(name: str, output: str) -> None:
    """For take_reports(), if the output of a program that is about to be removed has one."""
    if is_report(output):
        Path(FOLDER, f"report.{name}").write_text(output)


def take_reports(logs: Path | None = None) -> str:
    """The reports since the last call, and those in the log files below `logs`."""
    reports = []
    for file in sorted(Path(FOLDER).glob("report.*")):
        reports.append(file.read_text(errors="replace"))
        # Kept for who looks at a failed run, under a name that is not found again.
        file.rename(file.with_name(f"seen-{len(list(file.parent.iterdir()))}-{file.name}"))
    for file in sorted(logs.rglob("*.log")) if logs else []:
        if file.is_file() and is_report(text := file.read_text(errors="replace")):
            reports.append(f"{file}:\n{text}")
    return "\n".join(reports)
