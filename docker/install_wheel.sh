#!/bin/sh
# Install the wheel of the code into an environment that holds its dependencies.
# Usage: install_wheel.sh ENVIRONMENT FOLDER
set -eu

environment="$1" folder="$2"
"$environment/bin/python" -m pip install --no-cache-dir --disable-pip-version-check --quiet \
  --no-index --no-deps "$folder"/moodline-*.whl
"$environment/bin/python" -m pip check
