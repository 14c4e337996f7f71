"""Reads statements, key lists and pointers: docs/formats/statement.md, library.md. Checks signatures."""

import os
import re

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from restock_formats import SAMPLES, Reader, check, crc_is_right, digest, expected, main, read_bytes


def signed_by(key, data):
    """True when the last 64 bytes are the key's signature over all before."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(data[-64:], data[:-64])
    except InvalidSignature:
        return False
    return True


class KeyList:
    def __init__(self, data, pinned_root):
        reader = Reader(data)
        check(reader.take(4) == b"RSkl", "not a key list")
        number = reader.number(2)
        check(number in (1, 2), f"a key list of format {number}")
        self.site = reader.take(3).decode("ascii")
        self.serial = reader.number(4)
        root = reader.take(32)
        count = reader.number(2)
        check(1 <= count <= 256, f"{count} keys")
        keys = [reader.take(32) for _ in range(count)]
        foreign = []
        if number == 2:
            count = reader.number(2)
            check(1 <= count <= 8192, f"{count} foreign keys")
            foreign = [(reader.take(3).decode("ascii"), reader.take(32)) for _ in range(count)]
            check(foreign == sorted(set(foreign)), "foreign keys are not in order")
            check(all(site != self.site for site, _ in foreign), "a foreign key of the list's own site")
        reader.take(64)
        reader.finish()
        check(root == pinned_root, "the list is of another root key than the pinned one")
        check(signed_by(root, data), "the root key did not sign the list")
        # By site and key id: a key signs for its own site only.
        self.keys = {(self.site, digest("key", key)[:8]): key for key in keys}
        self.keys.update({(site, digest("key", key)[:8]): key for site, key in foreign})


class Statement:
    BYTES = 173

    def __init__(self, data, keys):
        check(len(data) == self.BYTES, f"a statement of {len(data)} bytes")
        reader = Reader(data)
        check(reader.take(4) == b"RSst" and reader.number(2) == 1, "not a statement of format 1")
        self.site = reader.take(3).decode("ascii")
        self.package = reader.take(8).decode("ascii")
        self.epoch, self.version = reader.number(4), reader.number(4)
        self.published_at_us = int.from_bytes(reader.take(8), "little", signed=True)
        self.root, self.root_length = reader.take(32), reader.number(4)
        self.pages, self.entries, self.runs, self.bytes = (reader.number(8) for _ in range(4))
        key = keys.keys.get((self.site, reader.take(8)))
        check(key is not None and signed_by(key, data), "no key listed for the site signed the statement")


def head(keys):
    data = read_bytes(SAMPLES, "keys", "head")
    reader = Reader(data)
    check(len(data) == 101 and reader.take(4) == b"RShd" and reader.number(2) == 1, "not a head of format 1")
    site = reader.take(3).decode("ascii")
    made_at, expires_at = (int.from_bytes(reader.take(8), "little", signed=True) for _ in range(2))
    check(0 < expires_at - made_at <= 7 * 86_400_000_000, "a head lives for at most 7 days")
    reader.number(4)
    key = keys.keys.get((site, reader.take(8)))
    check(key is not None and signed_by(key, data), "no key listed for the site signed the head")


def authorities(pinned_root):
    data = read_bytes(SAMPLES, "keys", "authorities")
    reader = Reader(data)
    check(reader.take(4) == b"RSal" and reader.number(2) == 1, "not a list of authorities of format 1")
    reader.take(3)
    reader.number(4)
    check(reader.take(32) == pinned_root and signed_by(pinned_root, data), "the root key did not sign the list")
    certificates = [reader.take(reader.number(2)) for _ in range(reader.number(1))]
    reader.take(64)
    reader.finish()
    check(1 <= len(certificates) <= 4, f"{len(certificates)} authorities")
    return certificates


def key_list(name="list"):
    return KeyList(read_bytes(SAMPLES, "keys", name), read_bytes(SAMPLES, "keys", "root-public-key"))


def statements(holder):
    """The statements of a sample library, by package and version number."""
    keys, found = key_list(), {}
    folder = os.path.join(SAMPLES, holder, "versions")
    for package in sorted(os.listdir(folder)):
        for name in sorted(os.listdir(os.path.join(folder, package))):
            match = re.fullmatch(r"([0-9a-f]{8})\.([0-9a-f]{8})\.statement", name)
            check(match, f"{name} is no statement's name")
            data = read_bytes(folder, package, name)
            # Files of earlier releases have no checksum.
            if len(data) != Statement.BYTES:
                check(crc_is_right(data), f"{name} does not match its checksum")
                data = data[:-4]
            statement = Statement(data, keys)
            subject = (statement.package, statement.epoch, statement.version)
            check(subject == (package, int(match[1], 16), int(match[2], 16)), f"{name} holds {subject}")
            found[f"{package}.{statement.version}"] = statement
    return found


def pointer(holder, package):
    data = read_bytes(SAMPLES, holder, "packages", package)
    check(len(data) == 26 and crc_is_right(data), f"the pointer of {package} is damaged")
    reader = Reader(data)
    check(reader.take(4) == b"RSpp" and reader.number(2) == 1, "not a pointer of format 1")
    check(reader.take(8).decode("ascii") == package, "the pointer is of another package")
    return reader.number(4), reader.number(4)


def body():
    count, truth = 0, expected()
    for holder, wanted in truth["holders"].items():
        found = statements(holder)
        check(sorted(found) == sorted(wanted["versions"]), f"{holder} has {sorted(found)}")
        for name, version in found.items():
            note = {"pages": version.pages, "entries": version.entries, "runs": version.runs, "bytes": version.bytes,
                    "root": version.root.hex(), "published_at_us": version.published_at_us}
            check(note == truth["versions"][name]["statement"], f"{holder} {name}: {note}")
        for package, active in wanted["active"].items():
            check(pointer(holder, package) == tuple(active), f"{holder} has another version of {package} active")
        count += len(found)
    foreign = Statement(read_bytes(SAMPLES, "keys", "foreign-statement"), key_list("list-2"))
    check((foreign.site, foreign.package) == ("ABC", "ABC00001"), "the foreign statement is of another package")
    head(key_list())
    check(len(authorities(read_bytes(SAMPLES, "keys", "root-public-key"))) == 2, "another number of authorities")
    data = read_bytes(SAMPLES, "keys", "list")
    damaged = data[:-1] + bytes([data[-1] ^ 1])
    check(not signed_by(read_bytes(SAMPLES, "keys", "root-public-key"), damaged), "a damaged signature passes")
    return f"{count} statements and the key lists are signed as they should be, and so are head and authorities"


if __name__ == "__main__":
    main("statement", body)
