"""Compares every #include "…" of the two programs with the table in docs/architecture.md.

    includes.py REPOSITORY       names each include that the table does not allow, and each folder without a row
    includes.py --self-test      shows that both are found
"""

import re
import sys
from pathlib import Path

ROOTS = ("common", "shim", "runner")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
# The program itself and the folder of its main.cpp link everything.
FREE = {"shim", "runner"}


def folder_of(path: str) -> str:
    """common/os/file.h → common/os; common/error.h → common."""
    return path.rpartition("/")[0]


def allowed(document: str) -> dict[str, set[str]]:
    """From the table's rows: each folder with what it may include."""
    rows: dict[str, set[str]] = {}
    for line in document.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("| `") or len(cells) != 3:
            continue
        for folder in re.findall(r"`([^`]+)`", cells[0]):
            rows[folder] = set(re.findall(r"`([^`]+)`", cells[2]))
    return rows


def faults(includes: list[tuple[str, str]], rows: dict[str, set[str]]) -> list[str]:
    """`includes` are (file, what it includes)."""
    found = []
    for file, included in includes:
        source, target = folder_of(file), folder_of(included)
        if source in FREE or source == target:
            continue
        if source not in rows:
            found.append(f"{source} has no row in docs/architecture.md")
            continue
        # `common` in a row of a program stands for all of its folders; in a row of common's it is the folder itself.
        everything = "common" in rows[source] and not source.startswith("common")
        if target in rows[source] or (everything and (target == "common" or target.startswith("common/"))):
            continue
        found.append(f"{file} includes {included}: docs/architecture.md does not let {source} include {target}")
    return sorted(set(found))


def includes_of(repository: Path) -> list[tuple[str, str]]:
    files = [file for root in ROOTS for file in sorted((repository / root).rglob("*")) if file.suffix in (".h", ".cpp", ".c")]
    return [
        (str(file.relative_to(repository)), included)
        for file in files
        for included in INCLUDE.findall(file.read_text())
        if included.split("/")[0] in ROOTS
    ]


def self_test() -> None:
    rows = allowed("| folder | knows | may include |\n|---|---|---|\n| `common/a` | x | `common` |\n| `shim/b` `shim/c` | y | `common` |\n")
    assert rows == {"common/a": {"common"}, "shim/b": {"common"}, "shim/c": {"common"}}, rows
    assert faults([("shim/b/x.cpp", "common/a/x.h"), ("shim/b/x.cpp", "shim/b/y.h"), ("shim/main.cpp", "shim/b/x.h")], rows) == []
    assert len(faults([("shim/b/x.cpp", "shim/c/x.h")], rows)) == 1
    assert len(faults([("common/a/x.cpp", "common/other/x.h")], rows)) == 1
    assert len(faults([("shim/new/x.cpp", "common/a/x.h")], rows)) == 1


def main() -> int:
    if sys.argv[1] == "--self-test":
        self_test()
        return 0
    repository = Path(sys.argv[1])
    found = faults(includes_of(repository), allowed((repository / "docs" / "architecture.md").read_text()))
    print("\n".join(found))
    return 1 if found else 0


sys.exit(main())
