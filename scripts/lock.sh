#!/usr/bin/env bash
# Resolve pyproject.toml into requirements/*.lock, for every platform and Python from 3.11 on.
# Arguments go to the resolver, e.g. --upgrade.
set -euo pipefail
cd "$(dirname "$0")/.."

uv="${UV:-.venv/bin/uv}"

compile() {
  local output="requirements/$1.lock"
  shift
  "$uv" pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes \
    --custom-compile-command "make lock" --output-file "$output" "$@"
}

# Each environment holds the one before it, so that a package has one version everywhere.
compile runtime "${@}" pyproject.toml
compile otel "${@}" --extra otel --constraints requirements/runtime.lock pyproject.toml
compile build "${@}" --group pyproject.toml:build
compile dev "${@}" --extra otel --group pyproject.toml:dev \
  --constraints requirements/otel.lock --constraints requirements/build.lock pyproject.toml
