#!/usr/bin/env bash
set -euo pipefail

cmake_install -DCMAKE_CXX_FLAGS_RELEASE="-Os -DNDEBUG" -DSPDLOG_USE_STD_FORMAT=ON -DSPDLOG_BUILD_EXAMPLE=OFF
