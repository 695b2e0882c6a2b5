#!/usr/bin/env bash
set -euo pipefail

cmake_install -DJSON_BuildTests=OFF -DJSON_ImplicitConversions=OFF
