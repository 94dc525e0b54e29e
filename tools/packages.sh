#!/bin/sh
# The one list of Debian packages (12 and 13), by what they are for; installs those that are missing.
# Usage: tools/packages.sh [--list] build|test|demo|debian13|recordings ...
set -eu

# A C compiler and what the library, the command and their shaders are built from.
build='gcc libc6-dev cmake ninja-build pkg-config glslang-tools spirv-tools spirv-headers libvulkan-dev
    libvulkan-volk-dev libjansson-dev libpcre2-dev libutf8proc-dev libxxhash-dev libopenblas-dev
    libsndfile1-dev libsoxr-dev zlib1g-dev libpopt-dev libjs-chart.js'
# Found at run time: the Vulkan loader, and drivers (lavapipe where there is no GPU).
run='libvulkan1 mesa-vulkan-drivers'
# tools/get-models fetches through pip.
models='python3 python3-pip'
# perl unpacks the demo's text.
demo="$build $run $models perl gzip"
# Public headers are compiled as C++ too.
test_common="$build $run $models libcmocka-dev vulkan-validationlayers g++ perl"
# chromium-common holds SwiftShader; debootstrap makes the Debian 13 root.
test="$test_common chromium-common"
debian13=debootstrap
# ./check --models decodes recordings.
recordings=ffmpeg

list=
wanted=
for word in "$@"; do
    case $word in
    --list) list=1 ;;
    build) wanted="$wanted $build" ;;
    test) wanted="$wanted $test" ;;
    test-common) wanted="$wanted $test_common" ;;
    demo) wanted="$wanted $demo" ;;
    debian13) wanted="$wanted $debian13" ;;
    recordings) wanted="$wanted $recordings" ;;
    *) echo "packages.sh: '$word' is none of build, test, test-common, demo, debian13, recordings" >&2; exit 2 ;;
    esac
done

missing=
for name in $(printf '%s\n' $wanted | sort -u); do
    if [ -n "$list" ]; then
        echo "$name"
    elif [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" != installed ]; then
        missing="$missing $name"
    fi
done
# Debian 12's glslang is too old for the kernels of cooperative matrices; without a newer one the
# build leaves them out.
newer_glslang()
{
    case " $wanted " in
    *' glslang-tools '*) [ -n "$list" ] || "$(dirname "$0")/get-glslang" || true ;;
    esac
}
[ -n "$missing" ] || { newer_glslang; exit 0; }

as_root=
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "packages.sh: these packages are missing, and there is neither root nor sudo to install them:" >&2
        echo " $missing" >&2
        exit 1
    fi
    as_root=sudo
fi
if ! command -v apt-get >/dev/null; then
    echo "packages.sh: there is no apt-get here; these Debian packages, or their like, are missing:$missing" >&2
    exit 1
fi

echo "installing:$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { $as_root apt-get update && $as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -20 "$log" >&2
    echo "packages.sh: apt-get could not install:$missing" >&2
    exit 1
fi
newer_glslang
