"""What the readers share: numbers, digests, library folders. Written from the pages in docs/formats alone."""

import json
import os
import struct
import sys
import zlib

from blake3 import blake3

HERE = os.path.dirname(os.path.abspath(__file__))
SAMPLES = os.path.join(os.path.dirname(HERE), "samples")

CONTEXTS = {
    "chunk": "restock 2026-11 chunk v1",
    "page": "restock 2026-11 manifest page v1",
    "file": "restock 2026-11 file v1",
    "path": "restock 2026-11 path v1",
    "table": "restock 2026-11 pack table v1",
    "key": "restock 2026-11 key id v1",
}


class Refused(Exception):
    """Bytes that are not what a page of docs/formats says."""


def check(condition, what):
    if not condition:
        raise Refused(what)


def digest(kind, data):
    return blake3(data, derive_key_context=CONTEXTS[kind]).digest()


def crc_is_right(data):
    """The last four bytes are the CRC-32 of what stands before them."""
    return struct.unpack("<I", data[-4:])[0] == zlib.crc32(data[:-4])


class Reader:
    """Reads values from the front of bytes."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        check(self.at + count <= len(self.data), f"input ends at byte {self.at}")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, count):
        return int.from_bytes(self.take(count), "little")

    def varint(self):
        start, value, shift = self.at, 0, 0
        while True:
            byte = self.number(1)
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        check(value < 1 << 64, f"number at byte {start} does not fit 64 bits")
        check(byte != 0 or shift == 7, f"number at byte {start} is not in its shortest form")
        return value

    def signed(self):
        raw = self.varint()
        return (raw >> 1) ^ -(raw & 1)

    def finish(self):
        check(self.at == len(self.data), f"{len(self.data) - self.at} bytes follow the end")


def read_bytes(*path):
    with open(os.path.join(*path), "rb") as file:
        return file.read()


def expected():
    """What the samples were made from, noted without Restock's own code for formats."""
    return json.loads(read_bytes(SAMPLES, "expected.json"))


def main(name, body):
    """Runs a reader over the samples and says what it found; exit code 1 on the first thing refused."""
    try:
        print(f"{name}: {body()}")
    except Refused as refused:
        sys.exit(f"{name}: {refused}")
