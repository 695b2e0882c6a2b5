#!/usr/bin/env bash
set -euo pipefail

cmake_install -DSPDLOG_USE_STD_FORMAT=ON -DSPDLOG_BUILD_EXAMPLE=OFF
