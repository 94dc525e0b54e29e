#!/bin/sh
# The command's behaviour: exit codes, what goes where, help, suggestions, the JSON, the report.
#   test_apps.sh HORNITO [part]     part: usage, tune, json, files, speech, check, bench, kernels, chat, examples; all where it is left out
set -u
hornito=$1
part=${2:-all}
source=$(realpath "$(dirname "$0")/..")
n_failed=0
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/bin" && ln -s "$(realpath "$hornito")" "$folder/bin/hornito"
PATH=$folder/bin:$PATH
HOME=$folder
export PATH HOME
models=${HORNITO_MODELS:-}
unset XDG_CACHE_HOME HORNITO_MODELS
cd "$folder" || exit 1

failed() {
    echo "FAILED: $*"
    sed 's/^/    /' out err
    n_failed=$((n_failed + 1))
}

# expect CODE TEXT ARGUMENTS...: the exit code; TEXT stands in what was printed. After a failure that
# is one line on stderr which begins with "hornito: ".
expect() {
    code=$1 text=$2
    shift 2
    hornito "$@" >out 2>err
    got=$?
    [ $got = "$code" ] || failed "hornito $*: exit code $got, not $code"
    cat out err | grep -qF -e "$text" || failed "hornito $*: no '$text'"
    [ "$code" = 0 ] && return
    [ "$(wc -l <err)" = 1 ] || failed "hornito $*: not one line on stderr"
    grep -q '^hornito: ' err || failed "hornito $*: stderr does not begin with 'hornito: '"
}

# The commands, one a line, out of the help.
commands() {
    hornito --help | sed -n '/^Commands:/,/^$/ s/^  \([a-z ]*[a-z]\)  .*/\1/p'
}

usage() {
    expect 0 "Commands:" --help
    expect 0 "hornito 0." --version
    expect 2 "hornito --help"
    expect 2 "did you mean 'devices'?" devcies
    expect 2 "no command 'xylophone'" xylophone
    expect 2 "options stand after it" --device cpu
    expect 2 "did you mean --device?" devices --dveice cpu
    expect 2 "no option '-z'" devices -z
    expect 2 "not wanted here" devices extra
    expect 2 "--threads many: invalid numeric value" devices --threads many
    expect 2 "missing argument" devices --device
    expect 1 "no device 'toaster'" devices --device toaster
    expect 1 "ulkan" devices --device vulkan:99
    expect 1 "did you mean 'fp16'?" devices --mask fp61
    expect 1 "--threads -1" devices --threads -1
    expect 2 "did you mean matmul" check --op matmull
    expect 2 "--seeds 0" check --seeds 0
    for c in $(commands | sed 's/ .*//' | sort -u); do
        expect 0 "Example:" "$c" --help
    done
    commands | while read -r words; do
        # shellcheck disable=SC2086 # words of a command
        expect 0 "Usage: hornito $words" $words --help
        grep -q '^  hornito ' out || failed "hornito $words --help: no example"
        expect 2 "no option '--no-such-option'" $words --no-such-option
        echo $n_failed >failed_in_loop
    done
    n_failed=$(cat failed_in_loop)
    expect 1 "tools/get-models smollm2-135m" lm generate --model smollm2-135m --prompt x
    expect 1 "nowhere" lm generate --model nowhere --prompt x
    mkdir no-weights && echo '{"model_type": "llama"}' >no-weights/config.json
    expect 1 "holds no model" lm generate --model bin --prompt x
    expect 1 "no weights" lm generate --model no-weights --prompt x
    expect 1 "give f32 or i8" lm generate --model no-weights --prompt x --activations i4
    expect 1 "cannot open 'none'" lm generate --model no-weights --prompt-file none
    expect 2 "one of --prompt and --prompt-file" lm generate --model no-weights --prompt x --prompt-file x
    expect 2 "--stride does not go" lm eval --model no-weights --second-half --stride 3 err
    hornito --help >/dev/full 2>err && failed "a full disk was not noticed"
}

# Training from a checkpoint: what contradicts it, what is missing, bad lists of recordings.
tune() {
    echo 'The oven is little, and what it bakes is good. So it goes on.' >text
    small="--vocab 280 --width 16 --layers 1 --heads 2 --context 8 --batch 1"
    expect 0 "saved in base" lm train --device cpu --out base $small --steps 2 text
    expect 2 "--width and --from: 'base' has its own" lm train --out z --from base --width 16 text
    expect 2 "--recompute 0" lm train --out z --recompute 0 text
    expect 2 "--precision f64" lm train --out z --precision f64 text
    expect 0 "loss scale" lm train --device cpu --out half $small --steps 2 --precision f16 \
        --recompute blocks text
    expect 1 "another precision" lm train --device cpu --out half $small --resume text
    expect 2 "--freeze needs --from" lm train --out z --freeze embed text
    expect 2 "--lora-targets needs --lora" lm train --out z --from base --lora-targets q text
    expect 1 "begins with 'embde'" lm train --device cpu --out z --from base --freeze embde text
    expect 0 "that are frozen" lm train --device cpu --out t --from base --lora 2 --steps 2 text
    expect 1 "holds a run already" lm train --device cpu --out t --from base --lora 2 text
    expect 1 "another choice of adapters" lm train --device cpu --out t --from base --lora 2 \
        --lora-targets q,v --steps 2 --resume text
    expect 0 "perplexity" lm eval --device cpu --model t text
    expect 0 "that are frozen" lm train --device cpu --out u --from base --lora 2 --steps 2 \
        --precision bf16 text
    expect 2 "--from MODEL is needed" speech train --out z list
    printf 'a.wav no tab\n' >list
    expect 1 "line 1: no tab" speech train --device cpu --out z --from base list
    printf '\na.wav\tsaid\n' >list
    expect 1 "line 2: no recording 'a.wav'" speech train --device cpu --out z --from base list
    printf 'text\tsaid\n' >list
    expect 1 "a Whisper model is needed" speech train --device cpu --out z --from base list
}

json() {
    expect 0 '"why"' devices --json
    python3 -c 'import json, sys
d = json.load(open("out"))
names = [x["device"] for x in d["devices"]]
assert names[-2:] == ["cpu", "ref"], names
assert d["chosen"]["device"] in names' || failed "devices --json"
    expect 0 '"ops_failed": 0' check --device ref --seeds 1 --op add --json
    python3 -c 'import json
d = json.load(open("out"))
assert d["ops"][0]["op"] == "add" and d["ops"][0]["draws"] == 3' || failed "check --json"
}

check() {
    expect 0 "add " check --device cpu --seeds 2 --op add
    expect 0 "1 operators, 22 draws, 0 operators failed" check --device ref --seeds 2 --op matmul
}

bench() {
    expect 2 "--repeats 3: give 10" bench step --repeats 3
    expect 2 "did you mean" bench ops --op layer_nrom
    expect 1 "no-such-folder" bench plan --json "$folder/no-such-folder/plan.json"
    expect 0 "f32 multiply and add" bench peaks --device cpu --json peaks.json --html peaks.html
    python3 -c 'import json
p = json.load(open("peaks.json"))["peaks"]
assert p["fma_f32"]["rate"] >= p["fma_f32"]["median_rate"] > 0
assert p["fma_f32"]["rate"] > 0 and p["copy"]["rate"] > 0 and p["wake"]["wall"]["median_ms"] > 0
assert "rate" not in p["coopmat_f16"] and p["coopmat_f16"]["unsupported"]' || failed "bench peaks --json"
    expect 0 "no difference" bench compare peaks.json peaks.json --fail-slower 0 --html compare.html
    grep -q 'chart-1' compare.html || failed "bench compare: no history in its page"
    python3 -c 'import json
d = json.load(open("peaks.json"))
for row in d["peaks"].values():
    if "wall" in row:
        row["wall"]["times_ms"] = [10 + 0.01 * i for i in range(10)]
json.dump(d, open("even.json", "w"))
w = d["peaks"]["copy"]["wall"]
w["times_ms"] = [2 * t for t in w["times_ms"]]
del d["peaks"]["wake"]
json.dump(d, open("slow.json", "w"))
d["command"] = "bench ops"
d["ops"] = [{"op": "a", "shape": "b"}]
json.dump(d, open("other.json", "w"))'
    expect 1 "1 of 3 rows are slower by more than 50 %, first 'copy': 2.000" bench compare even.json slow.json --fail-slower 50 --json compare.json
    grep -q '^wake  *only in even.json' out || failed "bench compare: a row of one file is not named"
    expect 1 "give files of one command" bench compare peaks.json other.json
    expect 1 "no JSON" bench compare peaks.json compare.html
    expect 2 "give 2 to" bench compare peaks.json
    expect 2 "there are 'training step'" bench models --only nothing
    expect 0 "not here: tools/get-models" bench models --only whisper --device cpu --json models.json
    python3 -c 'import json
m = json.load(open("models.json"))["models"]
assert len(m) == 2 and all("wall" not in r and r["not_here"] for r in m)' || failed "bench models --json"
    expect 2 "Vulkan drivers alone" bench stats --device cpu
    expect 1 "unsupported: no driver RADV" bench stats --family navi21 --icd nowhere
    icd=/usr/share/vulkan/icd.d/radeon_icd.x86_64.json
    [ ! -e $icd ] || expect 0 "Spilled VGPRs 0" bench stats --family navi21 --icd $icd --op softmax
    expect 2 "give 3 to" bench start -n 2
    expect 2 "there are 'whisper-base encode'" bench start --once all
    expect 2 "no work 'step'" bench start --work step
    expect 0 "not here: tools/get-models" bench start --device cpu --json start.json
    python3 -c 'import json
s = json.load(open("start.json"))["starts"]
assert [r["name"] for r in s[3:]] == ["training step, " + k for k in ("cold", "our caches", "warm")]
assert s[0]["not_here"] and all(r["wall"]["n"] == 3 for r in s[3:])' || failed "bench start --json"
    expect 2 "did you mean gpt2" bench step --model gpt3
    expect 0 "logits of 3 tokens within" bench models --only llama-1b --small --device cpu --json llama.json
    python3 -c 'import json
m = json.load(open("llama.json"))["models"]
bytes = [r["weight_bytes"] for r in m]
assert len(m) == 3 and bytes[0] > bytes[1] > bytes[2] > 5e7 and all(r["gb_per_s"] > 0 for r in m)' || failed "bench models --json"
    expect 0 "losses of the small model" bench models --only training --device cpu
    expect 0 "unsupported: the reference" bench peaks --device ref
    expect 0 '"gb_per_s"' bench ops --op layer_norm --device cpu --json - --html ops.html
    grep -q '"roof_share": *[0-9]' out || failed "bench ops: no share of the roof"
    grep -q 'chart-0' ops.html || failed "bench ops: no chart in its page"
    grep -qE ' (src|href)=' ops.html && failed "bench ops: its page is not self-contained"
    expect 0 "kernels: unsupported" bench ops --list gpu-small --op 'matmul f32' --stats --device cpu --json products.json
    python3 -c 'import json
d = json.load(open("products.json"))
dx = {r["op"]: r for r in d["ops"]}["matmul f32 dx"]
forward = d["ops"][0]
assert d["list"] == "gpu-small" and d["kernels_unsupported"] and d["peaks"]["fma_f32"]["rate"] > 0
assert abs(dx["of_forward"] - dx["gflop_per_s"] / forward["gflop_per_s"]) < 1e-6, dx' || failed "bench ops --list"
    expect 2 "did you mean gpu" bench ops --list gpux
    expect 0 '"between_variants"' bench step --small --device cpu --json - --export step.safetensors
    python3 -c 'import json
d = json.load(open("out"))
first, last = d["variants"][0], d["variants"][-1]
assert first["wall"]["n"] == 10 and len(first["times_ms"]) == 10
assert last["no_fuse"] and last["no_replay"] and last["ratio_to_first"] > 0
assert d["loss_differences"]["small_to_reference"] < 1e-3
assert d["model"]["parameters"] > 100000' || failed "bench step --json"
    [ "$(stat -c %s step.safetensors)" -gt 900000 ] || failed "bench step --export: a short file"
    expect 0 '"block_by_live"' bench plan --device cpu --json -
}

# Kernels measured, listed, carried; where there is no Vulkan device the other rows say nothing.
kernels() {
    expect 2 "--seconds 0" tune --seconds 0
    expect 2 "'exprot' is not wanted here" tune exprot
    expect 2 "give one file" tune export
    expect 1 "only Vulkan devices are tuned" tune --device cpu
    expect 1 "--tune -1" devices --tune -1
    hornito tune list --device vulkan >out 2>err || return
    expect 0 "nothing was measured" tune list --device vulkan
    expect 0 "kernel" tune --device vulkan --op 'matmul qkv' --seconds 20
    expect 0 "matmul f32[1024, 256]" tune list --device vulkan
    expect 0 "entries" tune export --device vulkan table.txt
    expect 0 "entries" tune import --device vulkan table.txt
    expect 0 "new ones" tune import --device vulkan --cache other table.txt
    expect 0 "matmul f32[1024, 256]" tune list --device vulkan --cache other
    head -c 100 table.txt >torn.txt
    expect 1 "torn.txt': is torn" tune import --device vulkan torn.txt
    expect 1 "README.md': is no tuning table" tune import --device vulkan "$source/README.md"
}

# What checkpoints hold: good ones, files that are none, and what stands in the way of running.
files() {
    data=$source/tests
    expect 2 "one file, folder or name" inspect
    expect 1 "nowhere" inspect nowhere
    expect 1 "holds no model" inspect .
    expect 1 "not a safetensors file" inspect "$source/README.md"
    expect 0 "tensors alone" inspect "$data/data/small.safetensors"
    expect 0 "architecture 'phi3' is not known" inspect "$data/fuzz/corpus/gguf/phi3"
    expect 0 "[8, 32]" inspect "$data/fuzz/corpus/gguf/phi3"
    expect 1 "type IQ2_XXS is not read" inspect "$data/fuzz/corpus/gguf/iq2"
    expect 0 '"license": "mit"' inspect --json "$data/fuzz/corpus/gguf/llama"
    python3 -c 'import json
d = json.load(open("out"))
assert d["parameters"] == 6496 and len(d["tensors"]) == 11, d["parameters"]
assert d["tensors"][0] == {"name": "token_embd.weight", "type": "F32", "shape": [8, 32], "bytes": 1024}
assert d["config"]["num_key_value_heads"] == 2 and d["format"] == "gguf 3"' || failed "inspect --json"
    expect 2 "what to read and where to write" convert one
    expect 2 "did you mean q4_0?" convert --type q4-0 a b
    expect 1 "nowhere" convert nowhere folder
    expect 1 "for q8_0 name a file that ends in .gguf" convert --type q8_0 "$data/fuzz/corpus/gguf/llama" folder
    expect 0 "weights q4_1" convert --type q4_1 "$data/fuzz/corpus/gguf/llama" out.gguf
    expect 0 "Q4_1" inspect out.gguf
    expect 1 "'out.gguf' is there already" convert "$data/fuzz/corpus/gguf/llama" out.gguf
    expect 1 "architecture 'phi3'" convert "$data/fuzz/corpus/gguf/phi3" folder
    [ ! -e folder ] || failed "convert: a folder was left behind"
}

# A conversation line by line; the answers alone are printed, and the second knows the first.
chat() {
    expect 2 "--model is needed" lm chat
    expect 2 "--tokens 0" lm chat --model nowhere --tokens 0
    expect 1 "nowhere" lm chat --model nowhere
    if [ ! -d "$models/smollm2-135m" ]; then
        echo "model smollm2-135m is not there: skipped; tools/get-models smollm2-135m fetches it"
        [ "${HN_TEST_MODELS:-}" = required ] && n_failed=$((n_failed + 1))
        return
    fi
    model=$models/smollm2-135m
    printf 'What is the capital of France?\n\nAnd of Italy? <|im_end|>\n/exit\nno\n' >talk
    hornito lm chat --model "$model" --device cpu --temperature 0 <talk >out 2>err ||
        failed "lm chat: exit code $?"
    [ "$(wc -l <out)" = 2 ] || failed "lm chat: not two lines"
    sed -n 1p out | grep -q Paris || failed "lm chat: no Paris"
    sed -n 2p out | grep -q Rome || failed "lm chat: no Rome"
    [ -s err ] && failed "lm chat: something on stderr"
    # The second turn puts in its own tokens, not those before it again.
    hornito lm chat --model "$model" --device cpu --temperature 0 -v <talk 2>&1 >/dev/null |
        sed -n 's/.* \([0-9]*\) tokens put in.*/\1/p' | tr '\n' ' ' >out
    [ "$(cat out)" = "37 22 " ] || failed "lm chat: tokens put in"
    expect 1 "no token '<|eot_id|>'" lm chat --model "$model" --device cpu --template llama3
    expect 1 "there are chatml" lm chat --model "$model" --device cpu --template nonesuch
    yes word | head -n 9000 | tr '\n' ' ' >talk
    hornito lm chat --model "$model" --device cpu <talk >out 2>err && failed "lm chat: no failure"
    grep -q "fills the model's context of 8192" err || failed "lm chat: a full context unsaid"
}

# Recordings of every kind, and what is none; with the model where it is there.
speech() {
    reference=$source/tests/data/reference/librivox_0870.wav
    said="And Mr. John Dashwood had then leisure to consider how much there might be prudently in his"
    transcribe="speech transcribe --model whisper-base --device cpu --language en"
    expect 2 "--model and a recording are needed" speech transcribe --model whisper-base
    expect 2 "--beam and --best-of: 1 to 16" $transcribe --beam 0 x.wav
    expect 2 "did you mean json?" $transcribe --format jsn x.wav
    expect 2 "--task sing: there are transcribe, translate" $transcribe --task sing x.wav
    expect 2 "--out FOLDER is needed" $transcribe --format srt x.wav y.wav
    expect 1 "would both become 'made/x.txt'" $transcribe --out made a/x.wav y.wav b/x.flac
    expect 1 "a llama model, where a Whisper model is needed" \
        speech transcribe --model "$source/tests/fuzz/corpus/gguf/llama" --device cpu x.wav
    if [ ! -d "$models/whisper-base" ]; then
        echo "model whisper-base is not there: skipped; tools/get-models whisper-base fetches it"
        [ "${HN_TEST_MODELS:-}" = required ] && n_failed=$((n_failed + 1))
        return
    fi
    export HORNITO_MODELS="$models"
    python3 "$source/tests/recordings.py" "$reference" || failed "recordings.py"
    expect 0 "$said" $transcribe "$reference"
    expect 0 "$said" $transcribe --beam 1 --no-timestamps wide.wav # two channels at 192 kHz
    expect 0 "00:00:00,000 --> 00:00:07,000" $transcribe --beam 1 --format srt "$reference"
    expect 0 "00:00:00.000 --> 00:00:07.000" $transcribe --beam 1 --format vtt "$reference"
    expect 0 '"language": "en"' $transcribe --language auto --format json "$reference"
    python3 -c 'import json
d = json.load(open("out"))
assert d["language_probability"] > 0.9 and d["seconds"] == 7.1, d
assert d["segments"][0]["tokens"][0] == 50364 and d["segments"][0]["end"] == 7.0, d
assert 0 < d["log_mel"]["streaming_differs"] < 0.1, d' || failed "speech transcribe --format json"
    for silent in silent one none; do
        expect 0 "" $transcribe $silent.wav
        [ "$(cat out)" = "" ] || failed "$silent.wav: something was heard"
    done
    expect 1 "file 'empty.wav': empty" $transcribe empty.wav
    expect 1 "the sample at 0.0000 s is not a finite number" $transcribe nan.wav
    expect 1 "not a recording that can be read" $transcribe "$source/README.md"
    expect 1 "the model knows no language 'tlh'" $transcribe --language tlh "$reference"
    # Several: the n-th line is the n-th's, and one that fails does not stop the others.
    expect 1 "file 'empty.wav': empty" $transcribe --beam 1 silent.wav empty.wav "$reference"
    [ "$(sed -n 3p out | cut -c1-20)" = "And Mr. John Dashwoo" ] || failed "the third is not third"
    expect 1 '"error"' $transcribe --beam 1 --format json silent.wav empty.wav
    python3 -c 'import json
a, b = map(json.loads, open("out"))
assert a["text"] == "" and a["silent_windows"] == 2 and b["error"].endswith("empty")' || failed "JSON lines"
    expect 1 "file 'empty.wav': empty" $transcribe --beam 1 --out made empty.wav "$reference"
    grep -q "$said" made/librivox_0870.txt && [ ! -e made/empty.txt ] || failed "--out"
    expect 1 "cannot" $transcribe --out "$source/README.md" "$reference"
    hornito $transcribe "$reference" >/dev/full 2>err && failed "a full disk was not noticed"
    timeout -s INT 1 hornito $transcribe --out cut "$reference" "$reference" >out 2>err
    [ -z "$(ls cut 2>/dev/null)" ] || failed "something is left of what was interrupted"
}

# Every example of every help runs, in their order, where a README.md lies. What needs a model that
# is not there is left out by name.
examples() {
    i=0
    while [ $i -lt 400 ]; do
        i=$((i + 1))
        echo "Line $i of a small text: the oven is little, and what it bakes is $((i * 7919 % 1000))."
    done >README.md
    printf '%s\tand mister john dashwood had then leisure\n' \
        "$source/tests/data/reference/librivox_0870.wav" >list.tsv
    cp "$source/tests/data/reference/librivox_0870.wav" recording.wav
    commands | while read -r words; do
        # shellcheck disable=SC2086 # words of a command
        hornito $words --help | sed -n '/^Example:/,$ s/^  hornito /hornito /p'
    done >list
    while read -r line; do
        echo "$line"
        for model in smollm2-135m whisper-base; do
            case $line in *"$model"*)
                [ -d "$models/$model" ] || { echo "  skipped: no model $model"; continue 2; }
                line="HORNITO_MODELS='$models' $line" ;;
            esac
        done
        timeout 120 sh -c "$line" >out 2>err </dev/null || failed "$line: exit code $?"
    done <list
}

# What lm generate and lm eval print of SmolLM2, byte for byte, and what they refuse.
text() {
    if [ ! -d "$models/smollm2-135m" ]; then
        echo "model smollm2-135m is not there: skipped; tools/get-models smollm2-135m fetches it"
        exit 77
    fi
    export HORNITO_MODELS="$models"
    python3 - "$source" <<'END'
import json, sys
p = json.load(open(sys.argv[1] + "/tests/data/reference/smollm2-135m/prompts.json"))["prompts"]["plain"]
open("prompt", "w").write(p["text"])
open("want", "w").write(p["greedy_text_f64"] + "\n")
END
    expect 0 "" lm generate --model smollm2-135m --device cpu --prompt-file prompt --tokens 48 --temperature 0
    cmp -s out want || failed "another text than the reference's"
    [ -s err ] && failed "lm generate says more than the text"
    hornito lm generate --model smollm2-135m --device cpu --prompt-file - --tokens 3 --temperature 0 --stats \
        <prompt >out 2>err
    [ "$(head -c "$(($(wc -c <out) - 1))" out)" = "$(head -c "$(($(wc -c <out) - 1))" want)" ] ||
        failed "another text from standard input"
    grep -q 'made: 3 in' err || failed "--stats: no count of tokens"
    expect 0 '"bits_per_byte"' lm eval --model smollm2-135m --device cpu --context 64 --json prompt
    python3 -c 'import json, sys
d = json.load(open("out"))
assert d["tokens"] == 30 and 20 < d["perplexity"] < 35, d' || failed "lm eval --json"
    expect 0 "perplexity" lm eval --model smollm2-135m --device cpu --context 16 --second-half --activations i8 prompt
    expect 1 "context of 8192" lm generate --model smollm2-135m --device cpu --prompt x --tokens 8192
    expect 1 "takes 1 to 8192" lm eval --model smollm2-135m --device cpu --context 8193 prompt
    expect 1 "no window of 512" lm eval --model smollm2-135m --device cpu --context 512 --second-half prompt
    expect 1 "a llama model, where a Whisper model is needed" speech transcribe --model smollm2-135m --device cpu \
        "$source/tests/data/reference/librivox_0870.wav"
    [ -d "$models/whisper-base" ] || return 0
    expect 1 "this is a speech model" lm eval --model whisper-base --device cpu prompt
}

case $part in
all) usage; tune; json; files; speech; check; bench; kernels; chat; examples; text ;;
usage | tune | json | files | speech | check | bench | kernels | chat | examples | text) $part ;;
*) echo "test_apps.sh: no part '$part'"; exit 2 ;;
esac
[ $n_failed = 0 ] && echo "passed" && exit 0
echo "$n_failed failed"
exit 1
