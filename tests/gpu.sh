#!/bin/bash
# Every operator, plans, training and models on the best Vulkan device of a machine, then the bench.
#   tests/gpu.sh pack BUILD DIR   here: the programs and the libraries they need, to carry elsewhere
#   tests/gpu.sh run DIR OUT      there: needs no compiler and no package but a Vulkan driver;
#                                 writes OUT/devices.json, OUT/check.json, OUT/bench-*.json, OUT/log
# HN_TEST_DEVICE says which device where there are several ("vulkan:1"). Exits 1 after a failure.
set -euo pipefail

programs=(test_ops test_expr test_plan test_rope test_train test_lm test_vk)

usage()
{
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2
    exit 2
}

pack() # build folder, destination
{
    local here
    here=$(cd "$(dirname "$0")" && pwd)
    mkdir -p "$2/bin" "$2/lib" "$2/data"
    cp "$1/hornito" "$2/bin"
    for p in "${programs[@]}"; do
        cp "$1/tests/$p" "$2/bin"
    done
    cp "$here"/data/oracle_*.json "$2/data"
    # The C library is the other machine's own; libvulkan is found at run time.
    ldd "$2"/bin/* | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
        grep -vE '/(libc|libm|libdl|libpthread|librt|ld-linux[^/]*)\.so' | xargs -I{} cp -L {} "$2/lib"
    cp "$0" "$2/gpu.sh"
    local loader
    loader=$(ldconfig -p | awk '/libvulkan\.so\.1 / { print $NF; exit }')
    [ -z "$loader" ] || { mkdir -p "$2/loader" && cp -L "$loader" "$2/loader"; }
    du -sh "$2"
}

run() # packed folder, results
{
    local at=$1 out=$2 failed=0
    mkdir -p "$out"
    export LD_LIBRARY_PATH=$at/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    ldconfig -p | grep -q 'libvulkan\.so\.1 ' || export LD_LIBRARY_PATH=$LD_LIBRARY_PATH:$at/loader
    export HN_TEST_DEVICE=${HN_TEST_DEVICE:-vulkan} HN_TEST_PLAIN=1 HN_TEST_DATA=$at/data
    "$at/bin/hornito" devices --json >"$out/devices.json" || failed=1
    "$at/bin/hornito" devices | tee -a "$out/log"
    for p in "${programs[@]}"; do
        echo "== $p" | tee -a "$out/log"
        timeout 200 "$at/bin/$p" >>"$out/log" 2>&1 || { failed=1 && echo "FAILED: $p" | tee -a "$out/log"; }
    done
    "$at/bin/hornito" check --device "$HN_TEST_DEVICE" --json >"$out/check.json" || failed=1
    for b in step ops plan; do
        timeout 200 "$at/bin/hornito" bench $b --device "$HN_TEST_DEVICE" --json "$out/bench-$b.json" \
            2>&1 | tee -a "$out/log" || failed=1
    done
    [ $failed = 0 ] || echo "gpu.sh: something failed; $out/log has it" >&2
    return $failed
}

[ $# = 3 ] || usage
case $1 in
pack) pack "$2" "$3" ;;
run) run "$2" "$3" ;;
*) usage ;;
esac
