#!/usr/bin/env bash
set -euo pipefail

install -D -m 644 "$SOURCE/certifi/cacert.pem" "$IMAGE$PREFIX/share/cacert.pem"
