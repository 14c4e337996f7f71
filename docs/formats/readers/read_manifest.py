"""Reads manifests: docs/formats/manifest.md. Checks encoding, order, page borders, totals, ordinals, contents."""

import os

from blake3 import blake3

from read_chunks import cut
from read_pack import load
from read_statement import statements
from restock_formats import SAMPLES, Reader, check, digest, expected, main

ENTRIES, ENTRY_INDEX, RUNS, RUN_INDEX = 1, 2, 3, 4
FILE_INLINE, FOLDER, SYMLINK, FILE_PAGED = 1, 2, 3, 4
ITEMS_MAX, INLINE_MAX, CHUNK_MAX, PAGE_MAX = 256, 64, 262_144, 4 << 20


def path_is_border(level, path):
    return int.from_bytes(digest("path", bytes([level]) + path)[:8], "little") % 64 == 0


def order(path):
    """Compares component by component."""
    return path.split(b"/")


class Page:
    """A page as lists of tuples; `path` of the item before is kept for front coding."""

    def __init__(self, data):
        check(len(data) <= PAGE_MAX, "the page is too long")
        reader = Reader(data)
        check(reader.number(1) == 1, "the page's format is not known")
        check(reader.number(1) == 1, "the cut profile is not known")
        self.kind, self.level = reader.number(1), reader.number(1)
        check(self.kind in (ENTRIES, ENTRY_INDEX, RUNS, RUN_INDEX), f"page kind {self.kind} is not known")
        check((self.level == 0) == (self.kind in (ENTRIES, RUNS)), f"level {self.level} for kind {self.kind}")
        count = reader.varint()
        check(count <= ITEMS_MAX, f"{count} items")
        self.items, self.last = [], b""
        for number in range(count):
            self.items.append(self.item(reader, number))
        reader.finish()

    def item(self, reader, number):
        if self.kind == ENTRIES:
            return self.entry(reader, number)
        if self.kind == RUNS:
            return self.run(reader)
        path = self.path(reader, number) if self.kind == ENTRY_INDEX else None
        child = {"path": path, "digest": reader.take(32), "length": reader.varint(), "pages": reader.varint()}
        if self.kind == ENTRY_INDEX:
            child["entries"] = reader.varint()
        child["runs"], child["bytes"] = reader.varint(), reader.varint()
        return child

    def path(self, reader, number):
        shared = reader.varint()
        path = self.last[:shared] + reader.take(reader.varint())
        check(shared <= len(self.last) and (number > 0 or shared == 0), "a path shares more than there is")
        common = len(os.path.commonprefix([self.last, path])) if number else 0
        check(shared == common, f"path {path!r} shares {common} bytes, {shared} are used")
        check(0 < len(path) <= 4_095, f"path of {len(path)} bytes")
        parts = path.split(b"/")
        check(all(p not in (b"", b".", b"..") and len(p) <= 255 and b"\0" not in p for p in parts), f"path {path!r}")
        check(number == 0 or order(self.last) < order(path), f"path {path!r} does not ascend")
        self.last = path
        return path

    @staticmethod
    def run(reader):
        run = (reader.take(32), reader.varint(), reader.varint())
        check(1 <= run[1] <= CHUNK_MAX, f"a chunk of {run[1]} bytes")
        check(run[2] >= 1, "a run that does not occur")
        return run

    def entry(self, reader, number):
        entry = {"path": self.path(reader, number), "kind": reader.number(1)}
        entry["mode"], entry["mtime_ns"] = reader.varint(), reader.signed()
        check(entry["mode"] <= 0o7777, "mode out of range")
        if entry["kind"] == FILE_INLINE:
            entry["size"] = reader.varint()
            count = reader.varint()
            check(count <= INLINE_MAX, f"{count} runs in an entry")
            entry["runs"] = [self.run(reader) for _ in range(count)]
        elif entry["kind"] == SYMLINK:
            entry["target"] = reader.take(reader.varint())
        elif entry["kind"] == FILE_PAGED:
            entry["size"] = reader.varint()
            entry["list"] = {"digest": reader.take(32), "length": reader.varint(), "pages": reader.varint()}
            entry["run_count"] = reader.varint()
            check(entry["run_count"] > INLINE_MAX, "a short list in pages")
        else:
            check(entry["kind"] == FOLDER, f"entry kind {entry['kind']} is not known")
        return entry


class Manifest:
    def __init__(self, frames, statement):
        self.frames = frames
        self.entries, self.runs, self.pages = [], [], []
        page = self.page(statement.root, statement.root_length)
        check(page.kind in (ENTRIES, ENTRY_INDEX), "the root is no page of entries")
        top = page.level
        totals = self.tree(page, statement.root, top, True)
        wanted = (statement.pages, statement.entries, statement.runs, statement.bytes)
        check(totals == wanted, f"the tree holds {totals}, the statement says {wanted}")
        paths = [e["path"] for e in self.entries]
        check(all(order(a) < order(b) for a, b in zip(paths, paths[1:])), "paths of different pages do not ascend")

    def page(self, name, length):
        check(name in self.frames, f"page {name.hex()} is missing")
        _, kind, raw = self.frames[name]
        check(kind == "page" and len(raw) == length, f"{name.hex()} is no page of {length} bytes")
        return Page(raw)

    def tree(self, page, name, level, is_last):
        """Takes in a page and what lies beneath; returns pages, entries, runs, bytes."""
        check(page.level == level, f"level {page.level} where {level} belongs")
        self.pages.append(name)
        if page.kind == ENTRY_INDEX:
            totals = [1, 0, 0, 0]
            for number, child in enumerate(page.items):
                below = self.page(child["digest"], child["length"])
                child_is_last = is_last and number + 1 == len(page.items)
                found = self.tree(below, child["digest"], level - 1, child_is_last)
                stated = (child["pages"], child["entries"], child["runs"], child["bytes"])
                check(found == stated, f"{found} lies beneath, {stated} is stated")
                check(below.last == child["path"], "the last path beneath is another")
                totals = [a + b for a, b in zip(totals, found)]
            borders = [path_is_border(level, c["path"]) and n >= 1 for n, c in enumerate(page.items)]
            self.check_borders(borders, is_last)
            return tuple(totals)
        totals = [1, len(page.items), 0, 0]
        for entry in page.items:
            self.entries.append(entry)
            if entry["kind"] in (FILE_INLINE, FILE_PAGED):
                found = self.file(entry)
                totals = [a + b for a, b in zip(totals, found)]
        self.check_borders([path_is_border(0, e["path"]) for e in page.items], is_last)
        return tuple(totals)

    @staticmethod
    def check_borders(borders, is_last):
        check(not any(borders[:-1]), "a page goes on behind its border")
        ends = bool(borders) and (borders[-1] or len(borders) == ITEMS_MAX)
        check(ends or is_last, "a page ends before its border")

    def file(self, entry):
        pages = 0
        if entry["kind"] == FILE_PAGED:
            entry["runs"] = []
            listed = entry["list"]
            page = self.page(listed["digest"], listed["length"])
            pages, _, _ = self.run_tree(page, listed["digest"], page.level, entry["runs"], True)
            check(pages == listed["pages"] and len(entry["runs"]) == entry["run_count"], "the list's totals differ")
        runs = entry["runs"]
        check(sum(length * repeat for _, length, repeat in runs) == entry["size"], "runs do not add up to the size")
        check(all(a[:2] != b[:2] for a, b in zip(runs, runs[1:])), "equal runs stand side by side")
        self.runs.extend(runs)
        return pages, 0, len(runs), entry["size"]

    def run_tree(self, page, name, level, runs, is_last):
        check(page.level == level and page.kind in (RUNS, RUN_INDEX), "not a page of runs where one belongs")
        self.pages.append(name)
        if page.kind == RUNS:
            runs.extend(page.items)
            self.check_borders([r[0][0] % 64 == 0 for r in page.items], is_last)
            return 1, len(page.items), sum(r[1] * r[2] for r in page.items)
        totals = (1, 0, 0)
        for number, child in enumerate(page.items):
            below = self.page(child["digest"], child["length"])
            found = self.run_tree(below, child["digest"], level - 1, runs, is_last and number + 1 == len(page.items))
            check(found == (child["pages"], child["runs"], child["bytes"]), "the totals of a run page differ")
            totals = tuple(a + b for a, b in zip(totals, found))
        self.check_borders([c["digest"][0] % 64 == 0 and n >= 1 for n, c in enumerate(page.items)], is_last)
        return totals

    def content(self, entry):
        """A file's bytes, each chunk as the packs hold it."""
        parts = []
        for name, length, repeat in entry["runs"]:
            check(name in self.frames, f"chunk {name.hex()} is missing")
            _, kind, raw = self.frames[name]
            check(kind == "chunk" and len(raw) == length, f"{name.hex()} is no chunk of {length} bytes")
            parts.append(raw * repeat)
        return b"".join(parts)


def file_digest(entry):
    data = b"".join(n + l.to_bytes(4, "little") + r.to_bytes(4, "little") for n, l, r in entry["runs"])
    return digest("file", data)


def note(manifest, entry):
    """An entry as expected.json writes it."""
    found = {"mode": entry["mode"], "mtime_ns": entry["mtime_ns"]}
    if entry["kind"] == FOLDER:
        return {**found, "kind": "folder"}
    if entry["kind"] == SYMLINK:
        return {**found, "kind": "symlink", "target": entry["target"].hex()}
    content = manifest.content(entry)
    lengths = [length for _, length, repeat in entry["runs"] for _ in range(repeat)]
    check(lengths == cut(content), f"{entry['path']!r} is cut into {lengths}")
    return {**found, "kind": "file", "size": entry["size"], "blake3": blake3(content).hexdigest(),
            "file_digest": file_digest(entry).hex()}


def body():
    truth, entries, pages = expected(), 0, 0
    for holder in truth["holders"]:
        frames, _ = load(os.path.join(SAMPLES, holder))
        for name, statement in statements(holder).items():
            wanted = truth["versions"][name]
            manifest = Manifest(frames, statement)
            found = {e["path"].hex(): note(manifest, e) for e in manifest.entries}
            tree = wanted["tree"]
            for path in sorted(set(found) | set(tree)):
                check(found.get(path) == tree.get(path),
                      f"{bytes.fromhex(path)!r}: found {found.get(path)}, expected {tree.get(path)}")
            check([p.hex() for p in manifest.pages] == wanted["page_ordinals"], "page ordinals differ")
            check([r[0].hex() for r in manifest.runs] == wanted["chunk_ordinals"], "chunk ordinals differ")
            entries += len(found)
            pages += len(manifest.pages)
    return f"{entries} entries on {pages} pages are what the samples were made from"


if __name__ == "__main__":
    main("manifest", body)
