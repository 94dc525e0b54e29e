#!/bin/bash
# ./check --models: builds, fetches what the checks import, and runs tests/models.py.
# Usage: tests/models.sh BUILD-FOLDER [CMAKE-ARGUMENT ...]
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1
shift

tools/packages.sh recordings
if ! { cmake -G Ninja -S . -B "$build" "$@" && cmake --build "$build" -j"$(nproc)"; } >"$build.log" 2>&1; then
    tail -40 "$build.log" >&2
    echo "models.sh: the build failed; all of it is in $build.log" >&2
    exit 1
fi
mkdir -p "$build/models"
mv "$build.log" "$build/models/build.log"

# Python packages of the comparisons, beside the build and not in the system.
packages=$PWD/$build/models/python
if ! python3 -m pip install --quiet --no-input --target "$packages" --upgrade whisper-normalizer==0.1.15 \
    >"$build/models/pip.log" 2>&1; then
    tail -5 "$build/models/pip.log" >&2
    echo "models.sh: pip could not fetch what the comparisons import" >&2
    exit 1
fi
PYTHONPATH=$packages exec python3 tests/models.py "$build"
