#!/usr/bin/env bash
# Generate the Python code of the protos into service/ (or another root given as first argument).
#
# The vendored validation rules become moodline.buf.validate, so that the wheel does not claim the
# top-level package name "buf", which belongs to others.
set -euo pipefail
cd "$(dirname "$0")/.."

python="${PYTHON:-.venv/bin/python}"
root="${1:-service}"
package="$root/moodline"

rm -rf "$package/v1" "$package/buf"
mkdir -p "$package/v1" "$package/buf/validate"

# Where python itself is called by path, its folder with the stub plugins need not be on PATH.
PATH="$(cd "$(dirname "$python")" && pwd):$PATH"
protoc=("$python" -m grpc_tools.protoc -I protos/third_party)
"${protoc[@]}" -I protos --python_out="$root" --grpc_python_out="$root" \
  --mypy_out="quiet:$root" --mypy_grpc_out="quiet:$root" protos/moodline/v1/*.proto
"${protoc[@]}" --python_out="$package" --mypy_out="quiet:$package" buf/validate/validate.proto

# The only rewriting: imports of the vendored module name its place.
sed -i -E \
  -e 's/^from buf\.validate import/from moodline.buf.validate import/' \
  -e 's/^import buf\.validate\.validate_pb2/import moodline.buf.validate.validate_pb2/' \
  "$package"/v1/*_pb2.py "$package"/v1/*.pyi

# Files without a service get an empty gRPC module; nothing imports them.
for stub in "$package"/v1/*_pb2_grpc.py; do
  grep -q '^class ' "$stub" || rm -f "$stub" "${stub}i"
done

echo '"""Generated from protos/moodline/v1 by scripts/generate_protos.sh; never edited."""' \
  > "$package/v1/__init__.py"
echo '"""Generated from protos/third_party by scripts/generate_protos.sh; never edited."""' \
  > "$package/buf/__init__.py"
cp "$package/buf/__init__.py" "$package/buf/validate/__init__.py"
