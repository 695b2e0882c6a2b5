# `just` lists the recipes; each is one command that works without just, too.

_default:
    @just --list

# Install what this machine lacks
setup:
    ./scripts/setup

# Debug build of everything, for daily work
build:
    ./scripts/setup build dev
    ./scripts/build-deps clang
    cmake --preset dev
    cmake --build --preset dev

# Release binaries into dist/ (--all for both architectures)
release *arguments:
    ./scripts/build {{arguments}}

# All tests (--all for the sanitizers and the long ones, --unprivileged for what needs no root), or those named NAME
test *arguments:
    ./scripts/test {{arguments}}

# Word for word what CI runs
check:
    ./.ci/run

# Format all C++ in place
fmt:
    git ls-files '*.h' '*.cpp' | xargs clang-format-19 -i

# clang-format, shellcheck, ruff and static analysis of what changed (--all: of everything)
lint *arguments:
    ./scripts/check-style {{arguments}}

# Both programs beside what limits them, in one table (--full: at every size; --against FILE)
bench *arguments:
    ./scripts/bench {{arguments}}

# These programs beside the Go pair (GO_SHIM, GO_RUNNER), as a table in README.md
compare *arguments:
    ./scripts/compare {{arguments}}

# CPU seconds of a build from nothing
measure *arguments:
    ./scripts/measure-build {{arguments}}

# Both programs on virtual machines (smoke, run SCENARIO, all, list)
lab *arguments:
    ./scripts/lab {{arguments}}

# A job in a container, from nothing
quickstart:
    ./scripts/quickstart

# Put the binaries in dist/ where dstack looks for them
upload *arguments:
    ./scripts/upload {{arguments}}

# Tarballs, packages, SBOM and checksums of a release, into dist/VERSION/
dist *arguments:
    ./scripts/dist {{arguments}}

# Man pages and completions anew, from the programs' own options
manual:
    ./scripts/manual
