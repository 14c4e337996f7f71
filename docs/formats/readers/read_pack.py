"""Reads packs: docs/formats/pack.md. Checks every record, every frame's digest, names and order."""

import os
import re

import zstandard

from restock_formats import SAMPLES, Reader, check, crc_is_right, digest, expected, main, read_bytes

HEADER_BYTES = RECORD_BYTES = 64
OPEN, SEALED, PLANNED = 0, 1, 2
KINDS = {1: "chunk", 2: "page"}


class Record:
    def __init__(self, data):
        check(crc_is_right(data), "a record's CRC is wrong")
        reader = Reader(data)
        self.digest = reader.take(32)
        self.offset = reader.number(8)
        self.stored_length = reader.number(4)
        self.raw_length = reader.number(4)
        self.encoding = reader.number(1)
        kind = reader.number(1)
        check(self.encoding in (0, 1), f"encoding {self.encoding} is not known")
        check(kind in KINDS, f"frame kind {kind} is not known")
        self.kind = KINDS[kind]
        check(reader.take(10) == bytes(10), "a record's unused bytes are not 0")

    def raw(self, data):
        """The frame's raw bytes, checked; None when they are not right."""
        stored = data[self.offset : self.offset + self.stored_length]
        if len(stored) != self.stored_length:
            return None
        raw = stored
        if self.encoding == 1:
            try:
                raw = zstandard.ZstdDecompressor().decompress(stored, max_output_size=self.raw_length)
            except zstandard.ZstdError:
                return None
        return raw if len(raw) == self.raw_length and digest(self.kind, raw) == self.digest else None


class Table:
    def __init__(self, data):
        reader = Reader(data)
        header = reader.take(HEADER_BYTES)
        check(crc_is_right(header), "the header's CRC is wrong")
        fields = Reader(header)
        check(fields.take(4) == b"RSpt", "not a pack table")
        check(fields.number(2) == 1, "the table's format is not known")
        self.state = fields.number(1)
        check(self.state in (OPEN, SEALED, PLANNED), f"state {self.state} is not known")
        check(fields.number(1) == 0, "the header's unused byte is not 0")
        self.sequence = fields.number(8)
        self.library = fields.take(16)
        self.count, self.data_bytes = fields.number(8), fields.number(8)
        check(fields.take(12) == bytes(12), "the header's unused bytes are not 0")
        if self.state == PLANNED:
            plan = Reader(reader.take(16))
            self.draft = (plan.take(8).decode("ascii"), plan.number(4), plan.number(4))
        rest = data[reader.at :]
        whole = [rest[at : at + RECORD_BYTES] for at in range(0, len(rest), RECORD_BYTES)]
        if self.state == OPEN:
            # What a crash left: a record of zeros or with a wrong CRC counts as absent.
            self.records = [Record(r) for r in whole if len(r) == RECORD_BYTES and any(r) and crc_is_right(r)]
            return
        check(len(whole) == self.count, f"{len(whole)} records, the header says {self.count}")
        self.records = [Record(r) for r in whole]
        end = max((r.offset + r.stored_length for r in self.records), default=0)
        check(end == self.data_bytes, f"records end at byte {end}, the header says {self.data_bytes}")


def load(library):
    """All frames of a library's packs by digest; the pack with the highest sequence wins."""
    folder = os.path.join(library, "packs")
    identity = read_bytes(library, "library")
    check(len(identity) == 28 and identity[:4] == b"RSlb" and crc_is_right(identity), "the identity file is not right")
    frames, counts = {}, {"sealed": 0, "open": 0, "planned": 0, "frames": 0}
    names = sorted(os.listdir(folder))
    for name in names:
        if match := re.fullmatch(r"([0-9a-f]{16})-([0-9a-f]{16})\.table", name):
            bytes_of_table = read_bytes(folder, name)
            table = Table(bytes_of_table)
            check(table.state == SEALED, f"{name} is not sealed")
            check(digest("table", bytes_of_table).hex()[:16] == match[2], f"{name} does not have the digest in its name")
            digests = [r.digest for r in table.records]
            check(digests == sorted(set(digests)), f"records of {name} do not ascend")
            check(name[:-6] + ".data" in names, f"{name} has no data")
            counts["sealed"] += 1
        elif match := re.fullmatch(r"([0-9a-f]{16})\.open\.table", name):
            table = Table(read_bytes(folder, name))
            check(table.state == OPEN, f"{name} is not open")
            counts["open"] += 1
        elif match := re.fullmatch(r"([0-9a-f]{16})\.open\.plan", name):
            plan = Table(read_bytes(folder, name))
            check(plan.state == PLANNED, f"{name} is no plan")
            check(int(match[1], 16) == plan.sequence, f"{name} has another sequence inside")
            offsets = [r.offset for r in plan.records]
            check(offsets == sorted(offsets), f"{name} is not in the order of offsets")
            check(all(r.encoding == 0 and r.stored_length == r.raw_length for r in plan.records), f"{name}: not raw")
            ends = [(r.offset, r.offset + r.stored_length) for r in plan.records]
            check(all(a[1] <= b[0] for a, b in zip(ends, ends[1:])), f"{name}: places overlap")
            counts["planned"] += 1
            continue
        else:
            check(name.endswith(".data"), f"{name} is no file of a pack")
            continue
        check(int(match[1], 16) == table.sequence, f"{name} has another sequence inside")
        check(table.library == identity[8:24], f"{name} is of another library")
        data = read_bytes(folder, name[:-6] + ".data")
        check(table.state == OPEN or len(data) == table.data_bytes, f"the data of {name} has another length")
        for record in table.records:
            raw = record.raw(data)
            check(raw is not None or table.state == OPEN, f"frame {record.digest.hex()} of {name} is damaged")
            if raw is not None:
                counts["frames"] += 1
                best = frames.get(record.digest)
                if best is None or best[0] < table.sequence:
                    frames[record.digest] = (table.sequence, record.kind, raw)
    return frames, counts


def body():
    found = []
    for holder, wanted in expected()["holders"].items():
        _, counts = load(os.path.join(SAMPLES, holder))
        check(counts == wanted["packs"], f"{holder} has {counts}, expected {wanted['packs']}")
        found.append(f"{holder} {counts['frames']} frames in {counts['sealed']} sealed and {counts['open']} open packs")
    return ", ".join(found)


if __name__ == "__main__":
    main("pack", body)
