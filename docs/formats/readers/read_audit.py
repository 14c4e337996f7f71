"""Verifies an exported audit trail: docs/formats/audit.md. Reads the sample, or files named as arguments."""

import hashlib
import json
import sys

from restock_formats import SAMPLES, check, main, read_bytes

ZERO = bytes(32)
TEXTS = ("account", "address", "door", "operation", "path", "method", "parameters")


def text(value):
    data = value.encode("utf-8")
    return len(data).to_bytes(4, "little") + data


def canonical(previous, record):
    """What is hashed of a record that follows one with the hash `previous`."""
    parts = [b"RSau", (1).to_bytes(2, "little"), previous]
    parts.append(record["sequence"].to_bytes(8, "little"))
    parts.append(record["at"].to_bytes(8, "little", signed=True))
    parts += [text(record[name]) for name in TEXTS]
    parts.append(b"\0" if record["package"] is None else b"\1" + text(record["package"]))
    parts.append(record["result"].to_bytes(4, "little"))
    parts.append(text(record["correlation"]))
    for name in ("before", "after"):
        parts.append(b"\0" if record[name] is None else b"\1" + bytes.fromhex(record[name]))
    return b"".join(parts)


def verify(lines, head=None):
    """The last record's number and hash; refuses the first record that is not as it was written."""
    last, sequence = ZERO, 0
    for line in lines:
        record = json.loads(line)
        sequence += 1
        check(record["sequence"] == sequence, f"record {sequence} was removed")
        hashed = hashlib.sha256(canonical(last, record)).hexdigest()
        check(hashed == record["hash"], f"record {sequence} was edited, or the one before it was")
        last = bytes.fromhex(hashed)
        check(head is None or head[0] != sequence or head[1] == hashed, f"record {sequence} is not the one that was kept")
    check(head is None or head[0] <= sequence, f"record {sequence + 1} is missing: the end was cut off")
    return sequence, last.hex()


def head_of(data):
    """The head in the file that a site keeps beside its database."""
    magic, _, rest = data.decode("ascii").partition("\n")
    check(magic == "restock audit head 1", "not a head of format 1")
    sequence, _, hashed = rest.strip().partition(":")
    return int(sequence), hashed


def is_refused(lines, head=None):
    try:
        verify(lines, head)
    except Exception as refused:  # whatever a reader does with damaged lines, it does not accept them
        return str(refused)
    return None


def body():
    if len(sys.argv) > 1:
        found = [verify(read_bytes(path).splitlines()) for path in sys.argv[1:]]
        return ", ".join(f"{count} records, head {count}:{head}" for count, head in found)
    lines, head = read_bytes(SAMPLES, "audit.jsonl").splitlines(), head_of(read_bytes(SAMPLES, "audit-head"))
    count, hashed = verify(lines, head)
    check((count, hashed) == head, "the head beside the sample is not its end")
    edited = [*lines[:3], lines[3].replace(b"North", b"South"), *lines[4:]]
    check("record 4" in is_refused(edited), "an edited record passes")
    check("record 5" in is_refused(lines[:4] + lines[5:]), "a removed record passes")
    check(f"record {count}" in is_refused(lines[:-1], head), "a cut-off end passes")
    return f"{count} records follow each other to the head"


if __name__ == "__main__":
    main("audit", body)
