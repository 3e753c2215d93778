#!/bin/sh
# Build a wheel of the code alone: the image holds the model in a layer of its own.
# Usage: build_wheel.sh ENVIRONMENT SOURCE OUTPUT
set -eu

environment="$1" source="$2" output="$3"
# Hatchling's own switch leaves out the hook that carries the model inside the wheel.
HATCH_BUILD_NO_HOOKS=true "$environment/bin/python" -m pip wheel --disable-pip-version-check \
  --quiet --no-deps --no-build-isolation --wheel-dir "$output" "$source"
