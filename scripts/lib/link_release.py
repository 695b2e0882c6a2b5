#!/usr/bin/env python3
"""Links a program as zig does, and then again with switches that zig's driver does not pass on to its linker.

    link_release.py COMPILER ARGUMENT...

--pack-dyn-relocs=relr  relocations of a program that is loaded at a random address: 2 bits in place of 24 bytes each
--icf=safe              one copy of functions with the same code whose address nothing compares
"""

import os
import subprocess
import sys
from pathlib import Path

MORE = ["--pack-dyn-relocs=relr", "--icf=safe"]
# --icf=safe warns about each object that `objcopy` or `ld -r` has written, and leaves its functions alone.
QUIET = ["--no-warnings"]


def main() -> int:
    command = sys.argv[1:]
    linked = subprocess.run(command, env=os.environ | {"ZIG_VERBOSE_LINK": "1"}, stderr=subprocess.PIPE, text=True)
    # zig does not quote the arguments that it prints, so the linker below fails on a path with a space.
    linkers = [line.split()[1:] for line in linked.stderr.splitlines() if line.startswith("ld.lld ")]
    for line in linked.stderr.splitlines():
        if not line.startswith(("ld.lld ", "ar ")):
            print(line, file=sys.stderr)
    if linked.returncode != 0:
        return linked.returncode
    # The first program for an architecture also builds the libc, for arm64 with `ld -r`.
    programs = [arguments for arguments in linkers if "-r" not in arguments]
    if len(programs) != 1:
        print(f"{command[0]}: printed {len(programs)} linker commands, expected 1", file=sys.stderr)
        return 1
    linker = Path(command[0]).parent / "ld"
    return subprocess.run([linker, *programs[0], *MORE, *QUIET]).returncode


if __name__ == "__main__":
    sys.exit(main())
