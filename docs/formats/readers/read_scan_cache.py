"""Reads scan caches: docs/formats/scan-cache.md. Checks sums, and that records fit the manifest they belong to."""

import os
import zlib

from read_statement import statements
from restock_formats import SAMPLES, Reader, check, crc_is_right, expected, main, read_bytes

HEADER_BYTES, RECORD_BYTES, BLOCK_RECORDS = 96, 40, 1_024
NEVER_READ = -(1 << 63)


def signed(reader):
    return int.from_bytes(reader.take(8), "little", signed=True)


class ScanCache:
    def __init__(self, data):
        header = data[:HEADER_BYTES]
        check(len(header) == HEADER_BYTES and crc_is_right(header), "the header's CRC is wrong")
        reader = Reader(data)
        check(reader.take(8) == b"RSscan\x01\x00", "not a scan cache of format 1")
        nonce = reader.take(8)
        self.root = reader.take(32)
        self.entries = reader.number(8)
        self.newest_ns = signed(reader)
        check(reader.take(28) == bytes(28), "the header's unused bytes are not 0")
        reader.take(4)
        self.records, block = [], 0
        while len(self.records) < self.entries:
            count = min(BLOCK_RECORDS, self.entries - len(self.records))
            records = reader.take(count * RECORD_BYTES)
            wanted = zlib.crc32(nonce + block.to_bytes(8, "little") + records)
            check(reader.number(4) == wanted, f"the sum of block {block} is wrong")
            fields = Reader(records)
            for _ in range(count):
                record = {"ctime_ns": signed(fields), "inode": fields.number(8), "device": fields.number(8),
                          "scanned_ns": signed(fields)}
                flags = fields.number(8)
                check(flags in (0, 1), f"flags {flags:#x}")
                record["was_read"] = flags == 1
                self.records.append(record)
            block += 1
        reader.finish()


def body():
    truth, count = expected(), 0
    by_root = {s.root: name for name, s in statements("site").items()}
    folder = os.path.join(SAMPLES, "site", "scan")
    for package in sorted(os.listdir(folder)):
        cache = ScanCache(read_bytes(folder, package))
        name = by_root.get(cache.root)
        active = truth["holders"]["site"]["active"][package][1]
        check(name == f"{package}.{active}", f"the cache of {package} belongs to {name}")
        # In manifest order: path by path, compared component by component.
        tree = truth["versions"][name]["tree"]
        paths = sorted((bytes.fromhex(p) for p in tree), key=lambda path: path.split(b"/"))
        check(cache.entries == len(paths), f"{cache.entries} records for {len(paths)} entries")
        for path, record in zip(paths, cache.records):
            is_folder = tree[path.hex()]["kind"] == "folder"
            check((record["scanned_ns"] == NEVER_READ) == is_folder, f"{path!r}: scanned at {record['scanned_ns']}")
            check(record["ctime_ns"] <= cache.newest_ns, f"{path!r} is newer than the newest")
        check(len({r["device"] for r in cache.records}) == 1, "the sample's source was on one device")
        inodes = [r["inode"] for r in cache.records]
        check(len(set(inodes)) == len(inodes), "two entries have one inode")
        count += len(paths)
    return f"{count} records belong to the entries of their manifests"


if __name__ == "__main__":
    main("scan cache", body)
