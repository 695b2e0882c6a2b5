"""The release programs are linked by a command that zig prints."""

import subprocess

from support.processes import ROOT

# What zig prints once, when it builds the C library, and then what it prints each time.
FIRST = ["ld.lld -r -static -o cache/crt1.o cache/part.o", "ar rcs cache/libc.a cache/aio.o"]
PROGRAM = "ld.lld -pie -o program main.o"


def link(folder, *printed) -> subprocess.CompletedProcess:
    """By stand-ins of zig and of its linker, which writes down its arguments."""
    for name, script in {"c++": "\n".join(f"echo '{line}' >&2" for line in printed), "ld": f'echo "$@" >>{folder}/linked'}.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return subprocess.run([ROOT / "scripts/lib/link_release.py", folder / "c++", "-o", "program"], capture_output=True, text=True)


def test_the_first_link_of_a_new_cache_is_as_any_other(tmp_path):
    done = link(tmp_path, *FIRST, "warning: something else", PROGRAM)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "warning: something else\n"
    (linked,) = (tmp_path / "linked").read_text().splitlines()
    assert linked.startswith("-pie -o program main.o ")


def test_a_linker_that_is_not_seen_is_an_error(tmp_path):
    done = link(tmp_path, *FIRST)
    assert done.returncode == 1 and "printed 0 linker commands, expected 1" in done.stderr
    assert not (tmp_path / "linked").exists()
