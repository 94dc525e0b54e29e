#!/usr/bin/env python3
"""Whisper base on real recordings, against CTranslate2's transcripts and the words that were said.

    whisper_recordings.py short --hornito build/hornito --work DIR [--beam N] [--sample N]
    whisper_recordings.py long --hornito build/hornito --work DIR [--beam N]

`short`: the 542 Asterisk prompts and five LibriVox clips of tests/data/reference/whisper-base/
ctranslate2.tsv: how many transcripts are identical, and the word error rates. `long`: the prompts
that long_prompts.json lists, joined: error rate against the pieces', what is lost or repeated,
timestamps against the joints.

The recordings come from two Debian packages (asterisk-core-sounds-en-g722, pocketsphinx-testdata)
that apt-get fetches into DIR once, unpacked there and decoded by ffmpeg; nothing is installed.
Words are normalised by OpenAI's rules: PyPI whisper-normalizer, in PYTHONPATH.
"""
import argparse
import array
import difflib
import json
import pathlib
import re
import subprocess
import sys
import time
import wave

HERE = pathlib.Path(__file__).resolve().parent
REFERENCE = HERE.parent / "data/reference"
PACKAGES = ["asterisk-core-sounds-en-g722", "pocketsphinx-testdata"]
RATE = 16000


def prepare(work):
    """The recordings as 16 kHz wav files: name -> path."""
    unpacked, wavs = work / "x", work / "wav"
    if not unpacked.is_dir():
        work.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", *PACKAGES], cwd=work, check=True)
        for deb in work.glob("*.deb"):
            subprocess.run(["dpkg", "-x", deb, unpacked], check=True)
    files = {}
    librivox = unpacked / "usr/share/pocketsphinx/test/data/librivox"
    for path in librivox.glob("*.wav"):
        files["librivox", path.name] = path
    prompts = unpacked / "usr/share/asterisk/sounds/en_US_f_Allison"
    for path in sorted(prompts.rglob("*.g722")):
        name = str(path.relative_to(prompts))[: -len(".g722")]
        wav = wavs / (name + ".wav")
        if not wav.exists():
            wav.parent.mkdir(parents=True, exist_ok=True)
            part = wav.with_name(wav.name + ".part")
            subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "g722", "-i", path, "-ar", str(RATE),
                            "-c:a", "pcm_s16le", "-f", "wav", part], check=True)
            part.rename(wav)
        files["asterisk", name] = wav
    return files


def said(work):
    """What was said: name -> words."""
    texts = {}
    for line in open(REFERENCE / "asterisk-en.tsv", encoding="utf-8"):
        name, _, text = line.rstrip("\n").split("\t")
        texts["asterisk", name] = text
    path = work / "x/usr/share/pocketsphinx/test/data/librivox/transcription"
    for line in open(path, encoding="utf-8"):
        text, name = re.fullmatch(r"<s> (.*) </s> \((.*)\)", line.strip()).groups()
        texts["librivox", name + ".wav"] = text
    return texts


def reference():
    rows = [line.rstrip("\n").split("\t")
            for line in open(REFERENCE / "whisper-base/ctranslate2.tsv", encoding="utf-8")]
    return [dict(zip(rows[0], row)) for row in rows[1:]]


def errors(want, got):
    """Insertions, deletions and changes that make `got` of `want`, lists of words."""
    row = list(range(len(got) + 1))
    for i, a in enumerate(want, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(got, 1):
            before, row[j] = row[j], min(before + (a != b), row[j] + 1, row[j - 1] + 1)
    return row[-1]


class Rate:
    """A word error rate over several texts."""

    def __init__(self, normalise):
        self.normalise, self.n_errors, self.n_words = normalise, 0, 0

    def add(self, want, got):
        want, got = self.normalise(want).split(), self.normalise(got).split()
        self.n_errors += errors(want, got)
        self.n_words += len(want)

    def __str__(self):
        return f"{self.percent():.2f} % of {self.n_words}"

    def percent(self):
        return 100 * self.n_errors / max(self.n_words, 1)


def transcribe(args, files, *options):
    """A JSON object a file."""
    command = [args.hornito, "speech", "transcribe", "--model", args.model, "--language", "en",
               "--device", args.device, "--format", "json", *options, *map(str, files)]
    start = time.time()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as p:
        if len(files) == 1:
            results = [json.load(p.stdout)]
        else:
            results = []
            for line in p.stdout:  # as they come
                results.append(json.loads(line))
                if len(results) % 50 == 0:
                    print(f"{len(results)} of {len(files)}", file=sys.stderr, flush=True)
    if p.returncode or len(results) != len(files):
        sys.exit(f"hornito failed after {len(results)} of {len(files)} recordings")
    took = time.time() - start
    seconds = sum(r["seconds"] for r in results)
    print(f"{len(files)} recordings, {seconds:.0f} s, in {took:.0f} s: {seconds / took:.2f} times real time")
    return results


def short(args, normalise):
    files, texts, rows = prepare(args.work), said(args.work), reference()
    if args.sample:
        prompts = [r for r in rows if r["set"] == "asterisk"]
        step = max(1, len(prompts) // args.sample)
        rows = [r for r in rows if r["set"] == "librivox"] + prompts[::step]
    # Nothing but the first result, as the reference was made.
    options = ["--no-timestamps", "--beam", str(args.beam)]
    if not args.fallback:
        options += ["--no-fallback", "--no-speech", "2"]
    results = transcribe(args, [files[r["set"], r["recording"]] for r in rows], *options)
    column = "greedy" if args.beam == 1 else "beam5"
    same, rates = 0, {}
    for row, result in zip(rows, results):
        got, want = result["text"].strip(), row[column].strip()
        same += got == want
        if got != want:
            print(f"  {row['recording']}: '{got}', CTranslate2 '{want}'")
        text = texts[row["set"], row["recording"]]
        sets = [row["set"]]
        if row["set"] == "asterisk" and len(text.split()) >= 3:
            sets.append("asterisk, three words or more")
        for name in sets:
            ours, theirs = rates.setdefault(name, (Rate(normalise), Rate(normalise)))
            ours.add(text, got)
            theirs.add(text, want)
    share = 100 * same / len(rows)
    print(f"identical: {same} of {len(rows)}, {share:.1f} %")
    good = share >= 98
    for name, (ours, theirs) in rates.items():
        print(f"{name}: word error rate {ours}; CTranslate2 {theirs}")
        good &= ours.percent() <= theirs.percent() + 0.3
    return good


def samples(path):
    with wave.open(str(path)) as f:
        assert (f.getframerate(), f.getnchannels(), f.getsampwidth()) == (RATE, 1, 2), path
        return f.readframes(f.getnframes())


def sound(data):
    """The first sample and one past the last that can be heard."""
    loud = [i for i, x in enumerate(array.array("h", data)) if abs(x) > 300]
    return loud[0], loud[-1] + 1


def join(files, names, gap_s, path):
    """Writes the recordings one after the other; where the sound of each begins and ends, in seconds."""
    silence, places, at = b"\0\0" * int(gap_s * RATE), [], 0
    with wave.open(str(path), "wb") as f:
        f.setnchannels(1)
        f.setsampwidth(2)
        f.setframerate(RATE)
        for name in names:
            data = samples(files["asterisk", name])
            f.writeframes(data + silence)
            places.append(tuple((at + place) / RATE for place in sound(data)))
            at += (len(data) + len(silence)) // 2
    return places


def runs(want, got):
    """Pairs of places of equal words, and the longest runs of words that are missing and too many."""
    same, missing, extra = [], 0, 0
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, want, got, False).get_opcodes():
        if tag == "equal":
            same += zip(range(i1, i2), range(j1, j2))
        else:
            missing, extra = max(missing, i2 - i1 - (j2 - j1)), max(extra, j2 - j1 - (i2 - i1))
    return same, missing, extra


def from_joints(segments, pieces, places, normalise):
    """How far timestamps are from the joints, where a segment begins or ends with a prompt's words.

    A joint is the silence from the end of a prompt to the start of the next.
    """
    want = [(w, p, k) for p, text in enumerate(pieces) for k, w in enumerate(normalise(text).split())]
    got = [(w, s) for s, segment in enumerate(segments) for w in normalise(segment["text"]).split()]
    same, missing, extra = runs([w for w, *_ in want], [w for w, _ in got])
    off, inside = [], 0
    for i, j in same:
        _, p, k = want[i]
        s = got[j][1]
        for mine, edge, stamp, low, high in (
                (k == 0, j == 0 or got[j - 1][1] != s, "start", places[p - 1][1] if p else 0, places[p][0]),
                (i + 1 == len(want) or want[i + 1][1] != p, j + 1 == len(got) or got[j + 1][1] != s, "end",
                 places[p][1], places[p + 1][0] if p + 1 < len(places) else places[p][1])):
            t = segments[s][stamp]
            if edge and mine:
                off.append((max(low - t, t - high, 0), t))
            inside += edge and not mine
    return sorted(off, reverse=True), inside, missing, extra


def long(args, normalise):
    files, texts = prepare(args.work), said(args.work)
    plan = json.load(open(HERE / "long_prompts.json", encoding="utf-8"))
    joined = args.work / "long.wav"
    places = join(files, plan["prompts"], plan["gap_seconds"], joined)
    seconds = places[-1][1]
    column = {r["recording"]: r["greedy" if args.beam == 1 else "beam5"] for r in reference()}
    pieces = [column[name] for name in plan["prompts"]]
    options = ["--beam", str(args.beam)] + ["--condition-on-previous"] * args.condition
    whole = transcribe(args, [joined], *options)[0]

    ours, theirs = Rate(normalise), Rate(normalise)
    ours.add(" ".join(texts["asterisk", name] for name in plan["prompts"]), whole["text"])
    for name, piece in zip(plan["prompts"], pieces):
        theirs.add(texts["asterisk", name], piece)
    print(f"{seconds:.0f} s of {len(places)} prompts: word error rate {ours}; each alone, by CTranslate2, {theirs}")
    off, inside, missing, extra = from_joints(whole["segments"], pieces, places, normalise)
    per_word = seconds / theirs.n_words
    print(f"at most {missing * per_word:.1f} s of words lost and {extra * per_word:.1f} s too many in a row")
    stamps = [t for s in whole["segments"] for t in (s["start"], s["end"])]
    falls = sum(b < a for a, b in zip(stamps, stamps[1:]))
    print(f"{len(whole['segments'])} segments, {falls} timestamps fall; {len(off)} at a joint, {inside} inside a prompt; "
          "farthest from its joint: " + ", ".join(f"{d:.2f} s at {t:.2f}" for d, t in off[:5]))
    return (ours.percent() <= theirs.percent() + 1 and missing * per_word <= 2 and extra * per_word <= 2
            and not falls and len(off) > len(places) and off[0][0] <= 0.5)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["short", "long"])
    parser.add_argument("--hornito", default="build/hornito")
    parser.add_argument("--model", default="whisper-base")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--beam", type=int, help="default: 1 for short, and for long the command's own 5")
    parser.add_argument("--sample", type=int, default=0, help="about so many of the prompts")
    parser.add_argument("--fallback", action="store_true", help="short: the command's own way, not the reference's")
    parser.add_argument("--condition", action="store_true", help="long: --condition-on-previous")
    args = parser.parse_args()
    args.beam = args.beam or (1 if args.what == "short" else 5)
    from whisper_normalizer.english import EnglishTextNormalizer
    good = (short if args.what == "short" else long)(args, EnglishTextNormalizer())
    print("as it should be" if good else "NOT as it should be")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
