#!/usr/bin/env python3
"""What real checkpoints must give on the cpu device: recordings, perplexity, fine-tuning, speed, memory.

    tests/models.py BUILD [--only NAME,...] [--list]

Run by ./check --models, which fetches the models and what is imported here. Prints a line a check with its
figure and its bound, then "N passed, N failed"; all of it stays in BUILD/models, the lines as results.json. Exits 1 where something failed.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import time

SOURCE = pathlib.Path(__file__).resolve().parent.parent
REFERENCE = SOURCE / "tests/data/reference"
results = []


def say(name, ok, figure):
    results.append({"check": name, "passed": bool(ok), "figure": str(figure)})
    print(f"{'ok  ' if ok else 'FAIL'} {name}: {figure}", flush=True)


def run(work, name, command, **more):
    """A command with its output kept in WORK/name.log; returns (stdout, seconds, peak resident bytes)."""
    log = work / (name + ".log")
    begin = time.time()
    with open(log, "w") as errors:
        child = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=errors, text=True, **more)
        out = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
    log.write_text(log.read_text() + out)
    if status:
        raise RuntimeError(f"status {os.waitstatus_to_exitcode(status)}, see {log}: {log.read_text().strip()[-300:]}")
    return out, time.time() - begin, usage.ru_maxrss * 1024


# ---- SmolLM2 -------------------------------------------------------------------------------


def perplexity(h, work):
    """llama.cpp's protocol on a text of 100,000 bytes, within 0.1 % of the reference; 0.5 % with 8-bit activations."""
    text = REFERENCE / "smollm2-135m/persuasion_100k.txt"
    want = json.loads((REFERENCE / "smollm2-135m/perplexity.json").read_text())
    for context, more, most in (512, [], 1e-3), (1024, [], 1e-3), (512, ["--activations", "i8"], 5e-3):
        out, _, _ = run(work, "perplexity", [h, "lm", "eval", "--device", "cpu", "--model", "smollm2-135m", "--context",
                                             context, "--second-half", "--json", *more, text])
        got, ref = json.loads(out), want[str(context)]
        off = got["perplexity"] / ref["ppl_llama_protocol"] - 1
        say(f"perplexity at context {context}{' '.join(['', *more])}", abs(off) <= most and got["tokens"] == ref["scored"],
            f"{got['perplexity']:.4f} over {got['tokens']} tokens; {ref['ppl_llama_protocol']:.4f} over "
            f"{ref['scored']} wanted, off by {100 * off:.4f} % of at most {100 * most} %")


def decode(h, work):
    """At least 40 tokens a second, and at most the file and 150 MB resident, 1024 tokens made and put in."""
    folder = pathlib.Path(os.environ["HORNITO_MODELS"]) / "smollm2-135m"
    size = sum(f.stat().st_size for f in folder.iterdir())
    _, _, peak = run(work, "decode", [h, "lm", "generate", "--device", "cpu", "--model", "smollm2-135m", "--prompt",
                                      "It was a truth", "--tokens", 1020, "--temperature", 0, "--ignore-eos", "--stats"])
    rate = float(re.search(r"made: .*, ([0-9.]+) a second", (work / "decode.log").read_text())[1])
    say("SmolLM2 decodes", rate >= 40, f"{rate:.1f} tokens a second over 1020 tokens; at least 40")
    say("SmolLM2's memory", peak <= size + 150e6,
        f"{peak / 1e6:.0f} MB at its peak; at most the file's {size / 1e6:.0f} and 150 MB")


def tune_text(h, work):
    """Low-rank adapters on new text lower the loss on the part held out."""
    text = "\n".join((SOURCE / f).read_text() for f in ("docs/architecture.md", "README.md"))
    text += "\n".join(p.read_text() for p in sorted((SOURCE / "include/hornito").glob("*.h")))
    cut = int(len(text) * 0.9)
    train, held = work / "train.txt", work / "held.txt"
    train.write_text(text[:cut])
    held.write_text(text[cut:])
    out = work / "tuned"
    subprocess.run(["rm", "-rf", out], check=True)
    model = ["--device", "cpu"]
    evaluate = [h, "lm", "eval", *model, "--context", 256, "--json"]
    before = json.loads(run(work, "tune_before", [*evaluate, "--model", "smollm2-135m", held])[0])
    run(work, "tune", [h, "lm", "train", *model, "--from", "smollm2-135m", "--lora", 8, "--length", 128, "--batch", 4,
                       "--steps", 60, "--out", out, train])
    after = json.loads(run(work, "tune_after", [*evaluate, "--model", out, held])[0])
    say("SmolLM2 learns new text", after["bits_per_byte"] < 0.98 * before["bits_per_byte"],
        f"{before['bits_per_byte']:.4f} to {after['bits_per_byte']:.4f} bits per byte of held-out text")


# ---- Whisper -------------------------------------------------------------------------------


def tokens(h, work):
    """The greedy tokens of the reference clip, with and without timestamps."""
    want = json.loads((REFERENCE / "whisper-base/decode.json").read_text())
    for name, more in ("greedy_timestamps", []), ("greedy_no_timestamps", ["--no-timestamps"]):
        out, _, _ = run(work, name, [h, "speech", "transcribe", "--device", "cpu", "--model", "whisper-base", "--language",
                                     "en", "--beam", 1, *more, "--format", "json", REFERENCE / "librivox_0870.wav"])
        got = [t for segment in json.loads(out)["segments"] for t in segment["tokens"]]
        say(f"Whisper's {name.replace('_', ' ')}", got == want[name], f"{len(got)} tokens, {len(want[name])} wanted")


def recordings(h, work):
    """547 recordings, greedy and beam 5, and six minutes joined: against CTranslate2 and what was said."""
    script = SOURCE / "tests/oracle/whisper_recordings.py"
    for name, arguments in (("greedy", ["short"]), ("beam5", ["short", "--beam", "5"]), ("long", ["long", "--beam", "5"])):
        try:
            out, _, _ = run(work, "recordings_" + name, [sys.executable, script, *arguments, "--hornito", h, "--work",
                                                               work.parent / "recordings"])
            say(f"recordings, {name}", True, "; ".join(l for l in out.splitlines() if l and l[0] != " "))
        except RuntimeError as e:
            say(f"recordings, {name}", False, e)


def tune_speech(h, work):
    """A few steps on prompts, the encoder frozen, lower the loss on other prompts and keep a model that transcribes."""
    rows = [line.split("\t") for line in (REFERENCE / "asterisk-en.tsv").read_text().splitlines()]
    rows = [(name, text) for name, seconds, text in rows if float(seconds) <= 5 and len(text.split()) > 3]
    audio, out = work.parent / "recordings/wav", work / "tuned_speech"
    train, valid = work / "train.tsv", work / "valid.tsv"
    for path, part in (train, rows[::2][:64]), (valid, rows[1::2][:16]):
        path.write_text("".join(f"{name}.wav\t{text}\n" for name, text in part))
    subprocess.run(["rm", "-rf", out], check=True)
    run(work, "tune_speech", [h, "speech", "train", "--device", "cpu", "--from", "whisper-base", "--freeze", "encoder",
                              "--window", 5, "--batch", 4, "--steps", 32, "--audio", audio, "--valid", valid,
                              "--out", out, train])
    losses = [float(x) for x in re.findall(r"held out[^0-9]*([0-9.]+)", (work / "tune_speech.log").read_text())]
    say("Whisper learns new recordings", len(losses) >= 2 and losses[-1] < 0.9 * losses[0],
        f"loss of 16 prompts held out: {losses[:1]} to {losses[-1:]} nats a token")
    text, _, _ = run(work, "tuned_transcribes", [h, "speech", "transcribe", "--device", "cpu", "--model", out,
                                                 "--language", "en", REFERENCE / "librivox_0870.wav"])
    say("the tuned model transcribes", "Dashwood" in text, text.strip())


def ten_minutes(h, work):
    """Ten minutes of speech in at most two, and at most twice the file and 300 MB resident."""
    import wave

    names = [line.split("\t")[0] for line in (REFERENCE / "asterisk-en.tsv").read_text().splitlines()]
    clips = [work.parent / "recordings/wav" / (name + ".wav") for name in names]
    assert clips[0].exists(), "the recordings check comes first"
    path, rate, frames = work / "ten_minutes.wav", 16000, b""
    for clip in clips:
        with wave.open(str(clip)) as w:
            if len(frames) < 2 * rate * 600:
                frames += w.readframes(w.getnframes()) + bytes(rate)
    with wave.open(str(path), "wb") as w:
        w.setnchannels(1), w.setsampwidth(2), w.setframerate(rate)
        w.writeframes(frames[:2 * rate * 600])
    size = (pathlib.Path(os.environ["HORNITO_MODELS"]) / "whisper-base/model.bin").stat().st_size
    _, seconds, peak = run(work, "ten_minutes", [h, "speech", "transcribe", "--device", "cpu", "--model", "whisper-base",
                                                 "--language", "en", "--beam", 1, path])
    say("Whisper's speed", seconds <= 120, f"ten minutes of speech in {seconds:.1f} s, greedy; at most 120")
    say("Whisper's memory", peak <= 2 * size + 300e6,
        f"{peak / 1e6:.0f} MB at its peak; at most twice the file's {size / 1e6:.0f} and 300 MB")


def rows(h, work):
    """The rows of ctest that need models, on the cpu device, none of them skipped."""
    out, _, _ = run(work, "rows", ["ctest", "--test-dir", h.parent, "--no-tests=error", "-L", "models", "-E",
                                   "lavapipe|phone|swiftshader"], env=dict(os.environ, HN_TEST_MODELS="required"))
    say("tensors, tokens, logits, gradients", "100% tests passed" in out,
        re.search(r"\d+% tests passed.*", out)[0])


CHECKS = {f.__name__: f for f in (rows, tokens, perplexity, decode, tune_text, recordings, tune_speech, ten_minutes)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path, nargs="?")
    parser.add_argument("--only", default=",".join(CHECKS), help="names, with commas between")
    parser.add_argument("--list", action="store_true")
    a = parser.parse_args()
    if a.list or not a.build:
        for name, f in CHECKS.items():
            print(f"{name:14} {f.__doc__.splitlines()[0]}")
        return 0
    work = (a.build / "models").resolve()
    work.mkdir(parents=True, exist_ok=True)
    for name in a.only.split(","):
        try:
            CHECKS[name]((a.build / "hornito").resolve(), work)
        except (RuntimeError, OSError, ValueError, AssertionError, KeyError, TypeError) as e:
            say(name, False, e)
    (work / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    failed = sum(not r["passed"] for r in results)
    print(f"{len(results) - failed} passed, {failed} failed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
