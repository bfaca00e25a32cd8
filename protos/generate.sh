#!/usr/bin/env bash
# Writes the Python code of every proto beside it. With --check: compares what is there with what would be written.
set -euo pipefail
cd "$(dirname "$0")"
bin=$PWD/../.venv/bin
out=.
if [ "${1:-}" = --check ]; then
    out=$(mktemp -d)
    trap 'rm -rf "$out"' EXIT
fi
well_known=$("$bin/python" -c 'import grpc_tools, pathlib; print(pathlib.Path(grpc_tools.__file__).parent / "_proto")')
PATH="$bin:$PATH" "$bin/python" -m grpc_tools.protoc --proto_path=. --proto_path="$well_known" \
    --python_out="$out" --grpc_python_out="$out" --mypy_out=quiet:"$out" --mypy_grpc_out=quiet:"$out" seawall/hub/v1/*.proto
if [ "$out" != . ]; then
    diff --recursive --brief --exclude='*.proto' --exclude='__init__.py' --exclude='__pycache__' "$out/seawall" seawall \
        || { echo "The generated code is not what the protos say: run make protos." >&2; exit 1; }
fi
