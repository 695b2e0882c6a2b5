"""Mutexes that clang's thread safety analysis does not see: os::Mutex and os::Lock (common/os/mutex.h) are used outside common/os.

    mutexes.py ROOT         reads ROOT/common, ROOT/shim and ROOT/runner; prints what it finds and fails
    mutexes.py --self-test  shows that it finds each kind
"""

import re
import sys

import sources

PLAIN = re.compile(r"\bstd::(?:mutex|recursive_mutex|shared_mutex|scoped_lock|unique_lock|lock_guard|shared_lock)\b")

# Where there is nothing to guard. File: how many.
NAMED = {
    "runner/logs/logs.cpp": 1,  # spdlog's own base class wants one
    "shim/home_lock.cpp": 2,  # for the clock only, which waits on a condition
    "shim/host/authorized_keys.cpp": 2,  # the same
}


def faults(path: str, text: str) -> list[str]:
    if path.startswith("common/os/"):
        return []
    text = sources.without_comments(text)
    matches = list(PLAIN.finditer(text))
    if len(matches) <= NAMED.get(path, 0):
        return []
    return [f"{path}:{sources.line_of(text, match.start())}: {match.group(0)}" for match in matches]


def self_test() -> None:
    for line in ("mutable std::mutex mutex_;", "const std::scoped_lock lock(mutex_);", "std::unique_lock lock(mutex_);"):
        assert faults("shim/x.cpp", line)
        assert not faults("common/os/clock.cpp", line)
    assert not faults("shim/x.cpp", "os::Mutex mutex_;  // no std::mutex")
    assert faults("shim/home_lock.cpp", "std::mutex a; std::mutex b; std::mutex c;")


if __name__ == "__main__":
    sys.exit(sources.run(faults, self_test))
