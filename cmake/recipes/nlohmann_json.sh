#!/usr/bin/env bash
# Headers only, and only they are in each of its archives.
set -euo pipefail

mkdir -p "$IMAGE$PREFIX"
cp -r "$SOURCE/include" "$IMAGE$PREFIX/"
