"""Checks that every file that docs/changing.md names exists.

    documented_files.py REPOSITORY
    documented_files.py --self-test
"""

import re
import sys
from pathlib import Path

DOCUMENT = "docs/changing.md"
# In backquotes, with a folder of the repository in front: `shim/gpu/amd.cpp`, `./scripts/test --all`.
NAMED = re.compile(r"`(?:\./)?((?:common|shim|runner|tests|docs|scripts|cmake)/[^`\s]+)[^`]*`")


def missing(text: str, repository: Path) -> list[str]:
    names = sorted(set(NAMED.findall(text)))
    assert names, f"{DOCUMENT} names no files"
    return [name for name in names if not (repository / name).exists()]


def main() -> int:
    here = Path(__file__).resolve().parents[2]
    if sys.argv[1] == "--self-test":
        assert missing("`docs/changing.md` `docs/not-there.md` `./scripts/test --all` `just test`", here) == ["docs/not-there.md"]
        return 0
    repository = Path(sys.argv[1])
    lost = missing((repository / DOCUMENT).read_text(), repository)
    for name in lost:
        print(f"{DOCUMENT} names {name}, which does not exist")
    return 1 if lost else 0


sys.exit(main())
