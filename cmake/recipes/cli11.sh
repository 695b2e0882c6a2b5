#!/usr/bin/env bash
# Precompiled: half the time of every file that includes it.
set -euo pipefail

cmake_install -DCMAKE_CXX_FLAGS_RELEASE="-Os -DNDEBUG" -DCLI11_PRECOMPILED=ON -DCLI11_BUILD_TESTS=OFF -DCLI11_BUILD_EXAMPLES=OFF -DCLI11_BUILD_DOCS=OFF
