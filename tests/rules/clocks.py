"""Clocks and sleeps outside common/os: time comes from os::Clock, which a test can turn.

    clocks.py ROOT         reads ROOT/common, ROOT/shim and ROOT/runner; prints what it finds and fails
    clocks.py --self-test  shows that it finds each kind
"""

import re
import sys

import sources

CLOCK = re.compile(
    r"\b(?:steady_clock|system_clock|high_resolution_clock)::now\(|\bsleep_(?:for|until)\(|\b(?:u|nano)sleep\("
    r"|\bclock_gettime\(|\bgettimeofday\(|\b(?:std)?::time\(|changed\w*\.wait_(?:for|until)\(")
# poll() with a limit other than 0 (look) and -1 (none).
POLL = re.compile(r"::p?poll\((?:[^(),;]|\([^()]*\))*,(?:[^(),;]|\([^()]*\))*, (?!-1\)|0\))[^;]*;")

# Limits of one system call on a connection; what they are derived from is the clock's. File: how many.
NAMED = {
    "common/http/listener.cpp": 2,
    "common/http/socket_stream.cpp": 2,
    "runner/exec/executions.cpp": 1,
    "runner/exec/supervisor.cpp": 1,
    "shim/client/run_session.cpp": 1,
}


def faults(path: str, text: str) -> list[str]:
    if path.startswith("common/os/"):
        return []
    text = sources.without_comments(text)
    matches = list(CLOCK.finditer(text))
    polls = list(POLL.finditer(text))
    if len(polls) > NAMED.get(path, 0):
        matches += polls
    return [f"{path}:{sources.line_of(text, match.start())}: {match.group(0)}" for match in matches]


def self_test() -> None:
    bad = [
        "const auto now = std::chrono::steady_clock::now();",
        "std::this_thread::sleep_for(1s);",
        "changed_.wait_for(lock, limit, done);",
        "::poll(waiting.data(), waiting.size(), 100);",
        "::poll(&event, 1, static_cast<int>(limit.count()));",
    ]
    good = [
        "const auto now = clock_.now();",
        "::poll(&event, 1, 0);",
        "::poll(waiting.data(), waiting.size(), -1);",
        "clock_.wait_until(lock, changed_, deadline, done);",
        "follower_.wait_for(size);",
    ]
    assert all(faults("shim/x.cpp", line) for line in bad)
    assert not any(faults("shim/x.cpp", line) for line in good)
    assert not faults("common/os/clock.cpp", bad[0])


if __name__ == "__main__":
    sys.exit(sources.run(faults, self_test))
