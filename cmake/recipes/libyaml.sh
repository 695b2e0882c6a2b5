#!/usr/bin/env bash
set -euo pipefail

cmake_install -DCMAKE_C_FLAGS_RELEASE="-Os -DNDEBUG" -DBUILD_TESTING=OFF -DCMAKE_POLICY_VERSION_MINIMUM=3.5
