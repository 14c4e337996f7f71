"""Cuts bytes into chunks: docs/formats/chunking.md. Checks the golden cuts; read_manifest.py checks the samples'."""

import hashlib

from restock_formats import check, main

LEAST, AVERAGE, MOST = 16_384, 65_536, 262_144
STRICT, RELAXED = 0x0000D90707537000, 0x0000D90313530000
ALL = (1 << 64) - 1
GEAR = [int.from_bytes(hashlib.md5(bytes([value]) * 64).digest()[:8], "big") for value in range(256)]


def cut(data):
    """The lengths of the chunks of `data`."""
    lengths, start = [], 0
    while start < len(data):
        length = first(data, start)
        lengths.append(length)
        start += length
    return lengths


def first(data, start):
    n = min(len(data) - start, MOST)
    if n <= LEAST:
        return n
    if not any(data[start + LEAST : start + n]):
        # A hole of megabytes, byte by byte, would take minutes here.
        return zeros(n)
    middle, end, h = min(AVERAGE, n) // 2 * 2, n // 2 * 2, 0
    for i in range(LEAST, end):
        h = ((h << 1) + GEAR[data[start + i]]) & ALL
        if h & (STRICT if i < middle else RELAXED) == 0:
            return i
    return n


def zeros(n):
    """The same rule for zero bytes, computed once: their hash settles after 64 of them."""
    h = 0
    for i in range(LEAST, min(LEAST + 64, n // 2 * 2)):
        h = ((h << 1) + GEAR[0]) & ALL
        check(h & STRICT and h & RELAXED, f"zeros are cut at {i}")
    check(((h << 1) + GEAR[0]) & ALL == h or n < LEAST + 64, "the hash of zeros does not settle")
    return n


def noise(length, seed):
    out, s = bytearray(), seed
    while len(out) < length:
        s = (s + 0x9E3779B97F4A7C15) & ALL
        w = s
        w = (w ^ w >> 30) * 0xBF58476D1CE4E5B9 & ALL
        w = (w ^ w >> 27) * 0x94D049BB133111EB & ALL
        out += (w ^ w >> 31).to_bytes(8, "little")
    return bytes(out[:length])


NOISE = [28128, 82036, 72057, 82576, 52231, 50371, 98119, 92333, 27009, 113882, 80242, 70100, 77250, 65957, 75660, 38239,
         50387, 82666, 46500, 141724, 66485, 70950, 83623, 70133, 118117, 120439, 43039, 92391, 4508]
TEXT = [107116, 89326, 80970, 74242, 62576, 14660]


def body():
    check(GEAR[0] == 0x3B5D3C7D207E37DC and GEAR[255] == 0xAABD2B2A451504E1, "the gear table differs")
    check(bin(STRICT).count("1") == 18 and bin(RELAXED).count("1") == 14, "the masks differ")
    check(cut(noise(2 << 20, 1)) == NOISE, "noise is cut otherwise")
    check(cut(b"".join(b"line %d\n" % n for n in range(40_000))) == TEXT, "text is cut otherwise")
    check(cut(bytes(524_293)) == [262_144, 262_144, 5], "zeros are cut otherwise")
    return "the golden cuts are right"


if __name__ == "__main__":
    main("chunks", body)
