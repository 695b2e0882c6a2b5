"""Places where an exception that is not an Error passes what has to be given back, or comes out of nowhere.

    exceptions.py ROOT         reads ROOT/common, ROOT/shim and ROOT/runner; prints what it finds and fails
    exceptions.py --self-test  shows that it finds each kind
"""

import re
import sys

import sources


# What is looked for, and what to write in its place.
RULES = [
    (re.compile(r"\bfor \([^;():]*[^;():]: [^;]*directory_iterator"),
     "a range-for over a directory iterator throws when an entry cannot be read: use os::list_directory()"),
    (re.compile(r"\bsto(?:i|l|ul|ll|ull|f|d|ld)\("),
     "std::sto… throws for a number that does not fit: use text::parse_number()"),
    (re.compile(r"\.dump\("),
     "nlohmann's dump() throws for a string that is not UTF-8: use json::dump()"),
    (re.compile(r"catch \((?:const )?Error\b"),
     "other exceptions pass it: catch std::exception (and ask error_kind()), or (...) where it is thrown on"),
]

# Where `catch (const Error&)` is right: it adds to the message or looks at the kind, throws on whatever else it is, and
# nothing has to be given back there. File: how many.
NAMED = {
    "common/http/server.cpp": 1,  # the next handler takes the rest
    "common/os/command.cpp": 1,
    "common/os/remove_tree.cpp": 1,
    "common/server_api/client.cpp": 2,
    "common/server_api/settings.cpp": 1,
    "common/files/archive.cpp": 2,
    "runner/join/state.cpp": 1,
    "runner/repo/apply.cpp": 1,
    "runner/repo/submodules.cpp": 1,
    "shim/api/legacy.cpp": 1,
    "shim/client/engine_access.cpp": 1,
    "shim/client/job_output.cpp": 3,
    "shim/client/shim_api.cpp": 3,
    "shim/client/show_logs.cpp": 1,
    "shim/docker/container_watcher.cpp": 1,  # the next handler takes the rest
    "shim/docker/engine_client.cpp": 3,
    "shim/docker/engine_containers.cpp": 2,
    "shim/docker/image_pull.cpp": 1,
    "shim/docker/shared_pull.cpp": 2,  # in one of them the next handler takes the rest
    "shim/host/authorized_keys.cpp": 1,
    "shim/host/user_identity.cpp": 1,
    "shim/task/launcher.cpp": 3,  # in one of them the next handler takes the rest
    "shim/task/live_task.cpp": 1,  # the next handler takes the rest
}

# The one caller of nlohmann's own.
DUMP = "common/json/dump.h"


def faults(path: str, text: str) -> list[str]:
    text = sources.without_comments(text)
    found = []
    for pattern, advice in RULES:
        if path == DUMP and "dump()" in advice:
            continue
        matches = list(pattern.finditer(text))
        if "catch" in pattern.pattern and len(matches) <= NAMED.get(path, 0):
            continue
        for match in matches:
            line = sources.line_of(text, match.start())
            found.append(f"{path}:{line}: {match.group(0).strip()} … {advice}")
    return found


def self_test() -> None:
    bad = [
        "for (const auto& entry : fs::directory_iterator(folder, failure)) count++;",
        "const int number = std::stoi(word);",
        "send(body.dump());",
        "} catch (const Error& error) {",
        "} catch (const Error&) {",
    ]
    good = [
        "for (const std::string& name : os::list_directory(folder).names) count++;",
        "fs::directory_iterator entry(folder, failure);",
        "send(json::dump(body));  // not body.dump()",
        "} catch (const std::exception& error) {",
    ]
    assert all(faults("shim/x.cpp", line) for line in bad)
    assert not any(faults("shim/x.cpp", line) for line in good)
    assert faults("shim/api/legacy.cpp", bad[3] * 2) and not faults("shim/api/legacy.cpp", bad[3])


if __name__ == "__main__":
    sys.exit(sources.run(faults, self_test))
