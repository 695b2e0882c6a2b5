#!/usr/bin/env bash
set -euo pipefail

cmake_install -DCATCH_INSTALL_DOCS=OFF
