#!/bin/sh
# The installed package: its headers and its library, found by pkg-config and by CMake, static and
# shared, are enough for examples/embed.c, which runs a model that the installed command trained.
# Usage: tests/install.sh SOURCE-FOLDER BUILD-FOLDER C-COMPILER LAVAPIPE-ICD
set -eu
source=$1 build=$2 cc=$3 icd=$4
at=$(mktemp -d)
trap 'rm -rf "$at"' EXIT

fail()
{
    echo "install.sh: $*" >&2
    exit 1
}

# The program continues a text as the installed command does, and on a device of its own too.
run() # what it was built as, program
{
    "$2" "$at/run" 'The ' cpu >"$at/cpu.txt" || fail "$1: embed failed on cpu"
    cmp -s "$at/command.txt" "$at/cpu.txt" || fail "$1: embed on cpu does not write what lm generate does"
    VK_ICD_FILENAMES=$icd "$2" "$at/run" 'The ' own >"$at/own.txt" || fail "$1: embed failed on a device of its own"
    cmp -s "$at/command.txt" "$at/own.txt" || fail "$1: embed on a device of its own writes another text"
    if "$2" "$at/nowhere" 'The ' cpu >"$at/none.txt" 2>"$at/error.txt"; then
        fail "$1: embed loads a folder that is not there"
    fi
    grep -q "^embed: .*nowhere" "$at/error.txt" || fail "$1: embed does not name the folder: $(cat "$at/error.txt")"
    echo "$1: $(head -c 60 "$at/cpu.txt" | tr '\n' ' ')"
}

# What examples/embed.c asks for, by a command that reads no documentation of ours: its text, and
# with it where an end token falls, would change with every word of it.
train() # command
{
    "$1" lm train --out "$at/run" --steps 3 --vocab 300 --width 32 --layers 1 --heads 2 --context 128 --batch 2 \
        --device cpu "$source/LICENSE" >"$at/log" || fail "the installed command does not train: $(tail -3 "$at/log")"
    "$1" lm generate --model "$at/run" --prompt 'The ' --tokens 60 --temperature 0.8 --top-p 0.95 --seed 1 \
        --device cpu >"$at/command.txt" || fail "the installed command does not generate"
    [ "$(wc -c <"$at/command.txt")" -gt 20 ] || fail "lm generate wrote next to nothing"
}

check_package() # static or shared, its build folder
{
    prefix=$at/$1
    cmake --install "$2" --prefix "$prefix" >"$at/log" || fail "$(tail -5 "$at/log")"
    config=$(dirname "$(find "$prefix" -name hornito.pc)")
    flags=$(PKG_CONFIG_PATH=$config pkg-config --cflags --libs hornito)
    "$cc" -std=c11 -Wall -Wextra -Wpedantic -Werror "$source/examples/embed.c" $flags -lvulkan \
        -Wl,-rpath,"$(dirname "$config")" -o "$at/embed-$1" || fail "$1: pkg-config: $flags"
    [ -d "$at/run" ] || train "$prefix/bin/hornito"
    run "$1, pkg-config" "$at/embed-$1"

    mkdir "$at/app-$1"
    cat >"$at/app-$1/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.25)
project(embed C)
find_package(Hornito 0.1 REQUIRED)
find_package(Vulkan REQUIRED)
add_executable(embed $source/examples/embed.c)
target_link_libraries(embed PRIVATE Hornito::hornito Vulkan::Vulkan)
END
    { cmake -G Ninja -S "$at/app-$1" -B "$at/app-$1/build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" &&
        cmake --build "$at/app-$1/build"; } >"$at/log" 2>&1 || fail "$1: CMake package: $(tail -20 "$at/log")"
    run "$1, CMake" "$at/app-$1/build/embed"
}

check_package static "$build"

shared=$build/shared
{ cmake -G Ninja -S "$source" -B "$shared" -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_COMPILER="$cc" -DBUILD_SHARED_LIBS=ON \
    -DHORNITO_TESTS=OFF && cmake --build "$shared"; } >"$at/log" 2>&1 || fail "$(tail -20 "$at/log")"
others=$(nm -D --defined-only "$shared/libhornito.so" | awk '$3 !~ /^hn_[a-z]/ { print $3 }')
[ -z "$others" ] || fail "the shared library shows more than HN_API:" $others
check_package shared "$shared"
