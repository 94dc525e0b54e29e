#!/bin/bash
# Every operator, plans, training and models on the best Vulkan device of a machine, then the bench:
# three parts, each within ten minutes, so that a card that is lent for a short time says the most
# important things first.
#   tests/gpu.sh pack BUILD DIR        here: the programs and the libraries they need, to carry elsewhere, and
#                                      the same as DIR.tar.xz
#   tests/gpu.sh run DIR OUT [PART] [small]    there: needs no compiler and no package but a Vulkan driver
#     check   every operator with every variant, the kernels that only GPUs are given, plans: OUT/check.json
#     bench   what a card is measured by, kernels tuned first: peaks, operators, GPT-2's training step, a
#             token of a Llama of a billion, PyTorch beside them; then each bar with whether it is met:
#             OUT/bench-*.json, OUT/bars.json
#     more    operators on the shapes of models with registers and spills, the small training step,
#             training, models, submissions and faults, plans' memory
#     all     the three in this order (where no PART is named)
#     small   the same lines with small sizes, to try the script out on a software driver
# What failed is printed first at the end; OUT/log has everything. HN_TEST_DEVICE says which device
# where there are several ("vulkan:1"). Exits 1 after a failure.
set -euo pipefail

more=(test_rope test_train test_lm test_vk test_choose)
programs=(test_matmul_gpu test_attention_gpu test_conv_gpu test_rows_gpu test_ops test_expr test_plan "${more[@]}")
# What an NVIDIA driver's Vulkan asks for beside itself; used where the other machine lacks it.
beside=(libvulkan.so.1 libEGL.so.1 libGLdispatch.so.0 libGL.so.1 libGLX.so.0 libOpenGL.so.0 libX11.so.6
    libXext.so.6 libxcb.so.1 libXau.so.6 libXdmcp.so.6 libbsd.so.0 libmd.so.0)

usage()
{
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2
    exit 2
}

pack() # build folder, destination
{
    local here known lib path
    here=$(cd "$(dirname "$0")" && pwd)
    mkdir -p "$2/bin" "$2/lib" "$2/data" "$2/beside"
    cp "$1/hornito" "$2/bin"
    for p in "${programs[@]}"; do
        cp "$1/tests/$p" "$2/bin"
    done
    strip "$2"/bin/*
    cp "$here"/data/oracle_*.json "$2/data"
    # The C library is the other machine's own; libvulkan is found at run time.
    ldd "$2"/bin/* | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
        grep -vE '/(libc|libm|libdl|libpthread|librt|ld-linux[^/]*)\.so' | xargs -I{} cp -L {} "$2/lib"
    cp "$0" "$2/gpu.sh"
    cp "$here/bench/compare_gpu.py" "$2"
    known=$(ldconfig -p)
    for lib in "${beside[@]}"; do
        path=$(awk -v l="$lib" '$1 == l && /x86-64|AArch64/ { p = $NF } END { print p }' <<<"$known")
        [ -z "$path" ] || cp -L "$path" "$2/beside"
    done
    # The programs have much in common, which a large window finds.
    tar -C "$2" -cf - . | xz --threads=2 --lzma2=preset=3,dict=64MiB >"$2.tar.xz"
    du -sh "$2" "$2.tar.xz"
}

# Runs a command for at most so many seconds; a failure is kept for the end. 77: it was skipped.
try() # seconds, what, command...
{
    local seconds=$1 what=$2 begin=$SECONDS code=0
    shift 2
    echo "== $what" | tee -a "$out/log"
    timeout "$seconds" "$@" >>"$out/log" 2>&1 || code=$?
    case $code in
    0) echo "   $((SECONDS - begin)) s" | tee -a "$out/log" ;;
    77) echo "   skipped: $(tail -1 "$out/log")" ;;
    *)
        failures+=("$what: exit code $code after $((SECONDS - begin)) s")
        tail -3 "$out/log"
        ;;
    esac
}

part_check()
{
    local draws=120 heads=40 convs=30 n=4
    [ -z "$small" ] || draws=2 heads=2 convs=1 n=1
    "$at/bin/hornito" devices --json >"$out/devices.json" || failures+=(devices)
    "$at/bin/hornito" devices | tee -a "$out/log"
    try 120 test_matmul_gpu "$at/bin/test_matmul_gpu" $draws
    try 60 test_attention_gpu "$at/bin/test_attention_gpu" $heads
    try 40 test_conv_gpu "$at/bin/test_conv_gpu" $convs
    try 20 test_rows_gpu "$at/bin/test_rows_gpu"
    try 160 test_ops "$at/bin/test_ops" -n $n # each variant of each draw is a pipeline to compile
    for p in test_expr test_plan; do
        try 80 "$p" "$at/bin/$p"
    done
    try 60 'hornito check' sh -c '"$0" check --device "$1" --json >"$2"' \
        "$at/bin/hornito" "$HN_TEST_DEVICE" "$out/check.json"
}

part_bench()
{
    local bench=("$at/bin/hornito" bench) device=(--device "$HN_TEST_DEVICE" --cache "$out/cache")
    local list=gpu model=gpt2 warm=(--warmup 20 -n 50) llama=() seconds=60
    [ -z "$small" ] || list=gpu-small model=gpt2-small warm=(-n 10) llama=(--small) seconds=10
    try 50 peaks "${bench[@]}" peaks "${device[@]}" --json "$out/bench-peaks.json"
    try 90 tune "$at/bin/hornito" tune "${device[@]}" --list $list --seconds $seconds
    try 140 ops "${bench[@]}" ops "${device[@]}" --list $list --stats "${warm[@]}" --json "$out/bench-ops.json"
    try 110 "step of $model" "${bench[@]}" step "${device[@]}" --model $model --only-first --precision f16 \
        --json "$out/bench-step-gpt2.json"
    try 90 'a token of 1 B' "${bench[@]}" models "${device[@]}" --only llama-1b "${llama[@]}" \
        --json "$out/bench-llama.json"
    if command -v python3 >/dev/null; then
        try 100 PyTorch env LD_LIBRARY_PATH="$own_path" python3 "$at/compare_gpu.py" measure --seconds 1 --json "$out/bench-torch.json" \
            ${small:+--small}
        python3 "$at/compare_gpu.py" bars "$out" --json "$out/bars.json" | tee -a "$out/log"
    else
        echo 'PyTorch and the bars: no python3 here' | tee -a "$out/log"
    fi
}

part_more()
{
    local bench=("$at/bin/hornito" bench) device=(--device "$HN_TEST_DEVICE" --cache "$out/cache")
    local op=() size=() seconds=90
    [ -z "$small" ] || op=(--op layer_norm) size=(--small) seconds=5
    try 110 'tune models' "$at/bin/hornito" tune "${device[@]}" --seconds $seconds
    try 120 'ops of models' "${bench[@]}" ops "${device[@]}" --stats -n 10 "${op[@]}" --json "$out/bench-ops-models.json"
    try 50 step "${bench[@]}" step "${device[@]}" "${size[@]}" --json "$out/bench-step.json"
    try 40 plans "${bench[@]}" plan --device "$HN_TEST_DEVICE" --json "$out/bench-plan.json"
    for p in "${more[@]}"; do
        try 55 "$p" "$at/bin/$p"
    done
}

# Libraries and drivers that lie where the machine does not look for them.
find_driver()
{
    local lib icd
    mkdir -p "$out/beside"
    for lib in "$at"/beside/*; do
        ldconfig -p | grep -q "^\s*$(basename "$lib") " || ln -sf "$(realpath "$lib")" "$out/beside"
    done
    own_path=${LD_LIBRARY_PATH:-}
    export LD_LIBRARY_PATH=$at/lib:$out/beside${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    [ -z "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ] || return 0
    ! "$at/bin/hornito" devices | grep -qE '^ *type +(discrete|integrated)' || return 0
    for icd in /usr/local/*/share/vulkan/icd.d/*.json /opt/*/share/vulkan/icd.d/*.json; do
        [ ! -e "$icd" ] || export VK_DRIVER_FILES=${VK_DRIVER_FILES:+$VK_DRIVER_FILES:}$icd
    done
}

run() # packed folder, results, part
{
    mkdir -p "$2/cache"
    at=$(realpath "$1") out=$(realpath "$2") failures=()
    find_driver
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

[ $# -ge 3 ] && [ $# -le 5 ] || usage
small=${5:-}
[ -z "$small" ] || [ "$small" = small ] || usage
case $1 in
pack) pack "$2" "$3" ;;
run) run "$2" "$3" "${4:-all}" ;;
*) usage ;;
esac
