#!/bin/bash
# Configures, builds, runs CTest, and counts. Used by ./check, there and in the Debian 13 root.
# Usage: tools/rows.sh BUILD-FOLDER [CMAKE-ARGUMENT ...] [-- CTEST-ARGUMENT ...]
# Leaves "PASSED FAILED SKIPPED" in BUILD-FOLDER/counts; exits 1 where something failed.
set -euo pipefail
source=$(cd "$(dirname "$0")/.." && pwd)
build=$1
shift
configure=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    configure+=("$1")
    shift
done
[ $# -eq 0 ] || shift

mkdir -p "$build"
rm -f "$build/counts"
begin=$SECONDS
if ! { cmake -G Ninja -S "$source" -B "$build" "${configure[@]}" &&
       cmake --build "$build" -j"$(nproc)"; } >"$build/build.log" 2>&1; then
    tail -40 "$build/build.log" >&2
    echo "rows.sh: the build failed; all of it is in $build/build.log" >&2
    exit 1
fi
echo "built in $((SECONDS - begin)) s; warnings: $(grep -c 'warning:' "$build/build.log" || true)"

# Rows that a device's driver must give; without one of them the run would pass for less.
rows=$(ctest --test-dir "$build" -N "$@")
for row in ${HORNITO_ROWS:-}; do
    if ! grep -q "$row" <<<"$rows"; then
        echo "rows.sh: there is no test '$row': its driver is missing" >&2
        exit 1
    fi
done

failed=0
ctest --test-dir "$build" --no-tests=error --output-on-failure -j"$(nproc)" "$@" 2>&1 |
    tee "$build/ctest.log" || failed=1
awk '
/tests passed, .* tests failed out of/ {
    for (i = 2; i < NF; i++)
        if ($i == "tests" && $(i + 1) == "failed")
            failed = $(i - 1)
    total = $NF
}
/\*\*\*Skipped/ { skipped++ }
END { print total - failed - skipped, failed + 0, skipped + 0 }' "$build/ctest.log" >"$build/counts"
exit $failed
