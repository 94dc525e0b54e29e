#!/usr/bin/env python3
"""Writes odd recordings into the working folder, for test_apps.sh: recordings.py SPEECH.wav"""
import array
import struct
import sys
import wave


def write(name, rate, channels, samples):
    with wave.open(name, "wb") as f:
        f.setnchannels(channels)
        f.setsampwidth(2)
        f.setframerate(rate)
        f.writeframes(array.array("h", samples).tobytes())


with wave.open(sys.argv[1]) as f:
    speech = array.array("h", f.readframes(f.getnframes()))
wide = array.array("h")
for a, b in zip(speech, speech[1:]):  # twelve steps from sample to sample, the same on both sides
    for i in range(12):
        x = (a * (12 - i) + b * i) // 12
        wide.extend((x, x))
write("wide.wav", 192000, 2, wide)
write("silent.wav", 16000, 1, [0] * 16000 * 40)
write("one.wav", 16000, 1, [16384])
write("none.wav", 16000, 1, [])
open("empty.wav", "wb").close()
data = struct.pack("<f", float("nan")) * 16000
with open("nan.wav", "wb") as f:
    f.write(b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt "
            + struct.pack("<IHHIIHH", 16, 3, 1, 16000, 64000, 4, 32) + b"data" + struct.pack("<I", len(data)) + data)
