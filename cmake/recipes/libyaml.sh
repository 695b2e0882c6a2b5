#!/usr/bin/env bash
set -euo pipefail

cmake_install -DBUILD_TESTING=OFF -DCMAKE_POLICY_VERSION_MINIMUM=3.5
