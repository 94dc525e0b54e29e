#!/bin/sh
# Each public header compiles alone, as C11 and as C++. Usage: tests/headers.sh C-COMPILER
set -eu
cd "$(dirname "$0")/../include"

for cxx in c++ g++ clang++ none; do
    command -v $cxx >/dev/null && break
done
if [ $cxx = none ]; then
    echo "headers.sh: no C++ compiler; tools/packages.sh test installs one" >&2
    exit 1
fi

n=0
for header in hornito/*.h; do
    echo "#include \"$header\"" | "$1" -I. -x c -std=c11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -
    echo "#include \"$header\"" | $cxx -I. -x c++ -std=c++11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -
    n=$((n + 1))
done
echo "$n headers"
[ $n -ge 5 ]
