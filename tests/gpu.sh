#!/bin/bash
# Every operator, plans, training and models on the best Vulkan device of a machine, then the bench:
# three parts, each within ten minutes, so that a card that is lent for a short time says the most
# important things first.
#   tests/gpu.sh pack BUILD DIR        here: the programs and the libraries they need, to carry elsewhere
#   tests/gpu.sh run DIR OUT [PART]    there: needs no compiler and no package but a Vulkan driver
#     check   every operator with every variant, products and attention of GPUs, plans: OUT/check.json
#     bench   peaks, tuned operators, the training step, PyTorch beside them: OUT/bench-*.json
#     more    training, models, submissions and faults; plans' memory
#     all     the three in this order, which takes up to 25 minutes (where no PART is named)
# What failed is printed first at the end; OUT/log has everything. HN_TEST_DEVICE says which device
# where there are several ("vulkan:1"). Exits 1 after a failure.
set -euo pipefail

more=(test_choose test_rope test_train test_lm test_vk)
programs=(test_matmul_gpu test_attention_gpu test_ops test_expr test_plan "${more[@]}")

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
    cp "$here/bench/compare_gpu.py" "$2"
    local loader
    loader=$(ldconfig -p | awk '/libvulkan\.so\.1 / { print $NF; exit }')
    [ -z "$loader" ] || { mkdir -p "$2/loader" && cp -L "$loader" "$2/loader"; }
    du -sh "$2"
}

# Runs a command for at most so many seconds; a failure is kept for the end.
try() # seconds, what, command...
{
    local seconds=$1 what=$2 begin=$SECONDS
    shift 2
    echo "== $what" | tee -a "$out/log"
    if timeout "$seconds" "$@" >>"$out/log" 2>&1; then
        echo "   $((SECONDS - begin)) s" | tee -a "$out/log"
    else
        failures+=("$what: exit code $? after $((SECONDS - begin)) s")
        tail -3 "$out/log"
    fi
}

part_check()
{
    "$at/bin/hornito" devices --json >"$out/devices.json" || failures+=(devices)
    "$at/bin/hornito" devices | tee -a "$out/log"
    try 120 test_matmul_gpu "$at/bin/test_matmul_gpu" 120
    try 60 test_attention_gpu "$at/bin/test_attention_gpu" 40
    try 200 test_ops "$at/bin/test_ops" -n 4 # each variant of each draw is a pipeline to compile
    for p in test_expr test_plan; do
        try 100 "$p" "$at/bin/$p"
    done
    try 60 'hornito check' sh -c '"$0" check --device "$1" --json >"$2"' \
        "$at/bin/hornito" "$HN_TEST_DEVICE" "$out/check.json"
}

part_bench()
{
    local bench=("$at/bin/hornito" bench) device=(--device "$HN_TEST_DEVICE" --cache "$out/cache")
    try 60 peaks "${bench[@]}" peaks "${device[@]}" --json "$out/bench-peaks.json"
    try 130 tune "$at/bin/hornito" tune "${device[@]}" --seconds 110
    try 150 ops "${bench[@]}" ops "${device[@]}" --json "$out/bench-ops.json"
    try 90 step "${bench[@]}" step "${device[@]}" --json "$out/bench-step.json"
    if command -v python3 >/dev/null; then # its code 77: no CUDA
        try 150 'PyTorch (77: no CUDA)' python3 "$at/compare_gpu.py" --seconds 1 --json "$out/bench-torch.json"
    else
        echo 'PyTorch: no python3 here' | tee -a "$out/log"
    fi
}

part_more()
{
    for p in "${more[@]}"; do
        try 110 "$p" "$at/bin/$p"
    done
    try 40 plans "$at/bin/hornito" bench plan --device "$HN_TEST_DEVICE" --json "$out/bench-plan.json"
}

run() # packed folder, results, part
{
    at=$1 out=$2 failures=()
    mkdir -p "$out/cache"
    export LD_LIBRARY_PATH=$at/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    ldconfig -p | grep -q 'libvulkan\.so\.1 ' || export LD_LIBRARY_PATH=$LD_LIBRARY_PATH:$at/loader
    export HN_TEST_DEVICE=${HN_TEST_DEVICE:-vulkan} HN_TEST_PLAIN=1 HN_TEST_DATA=$at/data
    case $3 in
    check) part_check ;;
    bench) part_bench ;;
    more) part_more ;;
    all) part_check; part_bench; part_more ;;
    *) usage ;;
    esac
    [ ${#failures[@]} -gt 0 ] || return 0
    echo "gpu.sh: failed, first to last; $out/log has the words:" >&2
    printf '  %s\n' "${failures[@]}" >&2
    return 1
}

[ $# -ge 3 ] && [ $# -le 4 ] || usage
case $1 in
pack) pack "$2" "$3" ;;
run) run "$2" "$3" "${4:-all}" ;;
*) usage ;;
esac
