"""The program's sources without their comments, and the command line that the rules share."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

_COMMENT = re.compile(r"//[^\n]*")


def without_comments(text: str) -> str:
    return _COMMENT.sub("", text)


def line_of(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def run(faults: Callable[[str, str], list[str]], self_test: Callable[[], None]) -> int:
    """RULE.py ROOT reads ROOT/common, ROOT/shim and ROOT/runner, prints what breaks the rule and fails; RULE.py --self-test."""
    if sys.argv[1] == "--self-test":
        self_test()
        return 0
    root = Path(sys.argv[1])
    found = []
    for folder in ("common", "shim", "runner"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".cpp", ".h"):
                found += faults(path.relative_to(root).as_posix(), path.read_text())
    print("\n".join(found))
    return 1 if found else 0
