#!/bin/sh
# Check every file of a model artifact against the checksums of its manifest.
# Usage: verify_model.sh MODEL
set -eu

cd "$1"
"${PYTHON:-python3}" -c '
import json
with open("manifest.json", encoding="utf-8") as manifest:
    for name, record in json.load(manifest)["files"].items():
        print(record["sha256"], name, sep="  ")
' | sha256sum --check --strict
