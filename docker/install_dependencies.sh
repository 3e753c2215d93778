#!/bin/sh
# Make an environment of locked packages.
# Usage: install_dependencies.sh ENVIRONMENT LOCK...
set -eu

environment="$1"
shift
"${PYTHON:-python3}" -m venv "$environment"
for lock in "$@"; do
  "$environment/bin/python" -m pip install --no-cache-dir --disable-pip-version-check --quiet \
    --require-hashes --requirement "$lock"
done
