"""Checks that every test that docs/security.md names exists.

    documented_tests.py REPOSITORY
    documented_tests.py --self-test
"""

import re
import sys
from pathlib import Path

DOCUMENT = "docs/security.md"
# In backquotes: `tests/integration/test_pull.py::test_the_numbers_of_a_pull`, `tests/unit/common/text_test.cpp::a name in words`.
NAMED = re.compile(r"`(tests/[^`:\s]+)::([^`]+)`")


def exists(file: Path, test: str) -> bool:
    if not file.exists():
        return False
    definition = f"def {test}(" if file.suffix == ".py" else f'"{test}"'
    return definition in file.read_text()


def missing(text: str, repository: Path) -> list[str]:
    names = sorted(set(NAMED.findall(text)))
    assert names, f"{DOCUMENT} names no tests"
    return [f"{file}::{test}" for file, test in names if not exists(repository / file, test)]


def without_a_test(text: str) -> list[str]:
    """The promises of the tables that name none."""
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| promise |")]
    return [row for row in rows if not NAMED.search(row)]


def main() -> int:
    here = Path(__file__).resolve().parents[2]
    if sys.argv[1] == "--self-test":
        there = "`tests/unit/common/text_test.cpp::octal escapes become the bytes that they stand for`"
        absent = ["tests/integration/test_pull.py::test_absent", "tests/unit/absent.cpp::absent"]
        assert missing(" ".join([there, *(f"`{name}`" for name in absent)]), here) == absent
        assert without_a_test(f"| promise | shown by |\n|---|---|\n| kept | {there} |\n| broken | soon |") == ["| broken | soon |"]
        return 0
    repository = Path(sys.argv[1])
    text = (repository / DOCUMENT).read_text()
    lost, bare = missing(text, repository), without_a_test(text)
    for name in lost:
        print(f"{DOCUMENT} names {name}, which does not exist")
    for row in bare:
        print(f"{DOCUMENT} names no test for: {row}")
    return 1 if lost or bare else 0


sys.exit(main())
