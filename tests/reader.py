#!/usr/bin/env python3
"""Reads a whole store, checks every byte of it, and prints what it holds as one JSON document.

    reader.py STORE

Written from store-layout.md alone, to show that the layout is all it takes. Exits with 1 and a
message that names the file when anything is damaged. Takes no lease: do not collect meanwhile.
Needs the package `blake3`. Paths beyond PATH_MAX are too deep for it.
"""
import base64, glob, json, os, re, stat, struct, sys
from urllib.parse import unquote_to_bytes

from blake3 import blake3


def check(ok, path, why):
    if not ok:
        sys.exit(f"reader.py: {os.fsdecode(path)!r}: {why}")  # escaped: a name may hold anything


def read(path):
    with open(path, "rb") as file:
        return file.read()


class Fields:
    """Takes fields off a run of bytes, in the order of the layout."""

    def __init__(self, path, data):
        self.path, self.data, self.at = path, data, 0

    def take(self, count):
        check(count <= len(self.data) - self.at, self.path, "a field goes beyond the end")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, code):
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]

    def bytes(self):
        return self.take(self.number("Q"))

    def string(self):
        raw = self.bytes()
        check(raw == raw.decode(errors="replace").encode(), self.path, "a string is not UTF-8")
        return raw.decode()

    def time(self):
        secs, nanos = self.number("q"), self.number("I")
        check(nanos < 10**9, self.path, "nanoseconds beyond a second")
        return secs, nanos

    def list(self, element):
        return [element() for _ in range(self.number("Q"))]

    def end(self):
        check(self.at == len(self.data), self.path, "something follows the last field")


def read_frame(path, magic):
    data = read(path)
    check(len(data) >= 88, path, "shorter than its frame")
    found, number, head_len, body_len, body_hash, head_hash = struct.unpack("<8sIIQ32s32s", data[:88])
    check((found, number) == (magic, 1), path, "the magic or the format version differs")
    check(head_len <= 1 << 22 and head_len <= body_len <= 1 << 33, path, "the lengths cannot be right")
    check(len(data) == 88 + body_len, path, "the length differs")
    head, rest = data[88 : 88 + head_len], data[88 + head_len :]
    check(blake3(data[88:]).digest() == body_hash, path, "the hash of the body differs")
    check(blake3(head).digest() == head_hash, path, "the hash of the head differs")
    return Fields(path, head), Fields(path, rest)


def read_tree(path, fields):
    """Gives the entries, as (path, kind, size, digest, mtime, target), and the tree's id."""

    def texts(column, count):
        parts = column.split(b"\0")
        check(parts.pop() == b"" and len(parts) == count, path, "as many texts as kinds are needed")
        return parts

    paths, kinds, *columns = (fields.bytes() for _ in range(5))
    tree_id = blake3(fields.data[: fields.at]).hexdigest()
    sizes, digests, targets, mtimes = (Fields(path, column) for column in (*columns, fields.bytes()))
    fields.end()
    check(all(kind <= 3 for kind in kinds), path, "unknown kind of entry")
    links, entries, before = iter(texts(targets.data, kinds.count(2))), [], None
    for name, kind in zip(texts(paths, len(kinds)), kinds):
        names = name.split(b"/")
        check(all(0 < len(part) <= 255 and part not in (b".", b"..") for part in names), path, "a bad path")
        in_order = before is None or (before < names and names[: len(before)] != before)
        check(in_order, path, f"{name!r} stands twice, out of order, or below a file")
        before = names
        file = (sizes.number("Q"), digests.take(32).hex(), mtimes.time()) if kind <= 1 else (None,) * 3
        target = next(links) if kind == 2 else None
        check(target != b"", path, "a symlink without a target")
        entries.append((name, kind, *file, target))
    for column in (sizes, digests, mtimes):
        column.end()
    return entries, tree_id


def read_manifest(path):
    head, rest = read_frame(path, b"gstmanif")
    tree_id, created, counts = head.take(32).hex(), head.time(), [head.number("Q") for _ in range(3)]
    note, facts = head.string(), head.list(lambda: (head.string(), head.string()))
    head.end()
    keys = [key.encode() for key, _ in facts]
    check(keys == sorted(set(keys)), path, "the facts are not in order")
    entries, found_id = read_tree(path, rest)
    sizes = [entry[2] for entry in entries if entry[1] <= 1]
    check(found_id == tree_id, path, "the tree is not the one of the head")
    check(counts == [len(sizes), len(entries), sum(sizes)], path, "the counts of the head differ")
    return {"tree": tree_id, "note": note, "facts": dict(facts), "created": "%d.%09d" % created}, entries


def read_shown(path):
    """Gives the mtimes that are not the manifest's."""
    if not os.path.lexists(path):
        return {}
    head, rest = read_frame(path, b"gstshown")
    head.end()
    rest.number("q")
    fresh = rest.list(lambda: (rest.bytes(), rest.time()))
    retired = rest.list(lambda: (rest.bytes(), rest.number("q"), rest.take(32)))
    rest.end()
    for paths in ([row[0] for row in fresh], [row[0] for row in retired]):
        check(paths == sorted(set(paths)), path, "the paths are not in order")
    return dict(fresh)


def text(key, value):
    """Bytes in JSON: as they are if that is UTF-8, else in base64 under another name."""
    try:
        return {key: value.decode()}
    except UnicodeDecodeError:
        return {key + "_b64": base64.b64encode(value).decode()}


def check_file(path, kind, digest):
    info = os.lstat(path)
    check(stat.S_ISREG(info.st_mode), path, "it is no regular file")
    check(stat.S_IMODE(info.st_mode) == (0o555 if kind == 1 else 0o444), path, "its mode differs")
    check(blake3(read(path)).hexdigest() == digest, path, "its hash differs")
    return info


def read_objects():
    """Checks every object; gives their names as (digest, kind)."""
    objects = set()
    for folder in sorted(os.listdir(b"objects")):
        for name in sorted(os.listdir(b"objects/" + folder)):
            path = b"objects/%s/%s" % (folder, name)
            match = re.fullmatch(rb"objects/([0-9a-f]{2})/([0-9a-f]{62})(\.x)?", path)
            check(match, path, "it is no object's name")
            digest, kind = (match[1] + match[2]).decode(), 1 if match[3] else 0
            check_file(path, kind, digest)
            objects.add((digest, kind))
    return objects


def leaves(folder, below=b""):
    """Gives all paths but those of directories that hold something."""
    mode = 0o775 if os.path.lexists("shared") else 0o755
    check(stat.S_IMODE(os.lstat(folder).st_mode) & 0o5777 == mode, folder, "its mode differs")
    for item in os.scandir(folder):
        inside = item.is_dir(follow_symlinks=False) and list(leaves(item.path, below + item.name + b"/"))
        yield from inside or [below + item.name]


def check_entry(path, entry, shown, objects):
    """Compares a path with its entry; gives the entry for the document."""
    name, kind, size, digest, mtime, target = entry
    row = text("path", name) | {"kind": ("file", "file", "symlink", "dir")[kind]}
    if kind == 2:
        check(os.path.islink(path) and os.readlink(path) == target, path, "the symlink differs")
        return row | text("target", target)
    if kind == 3:
        check(stat.S_ISDIR(os.lstat(path).st_mode), path, "it is no directory")
        return row
    info, mtime = check_file(path, kind, digest), shown.get(name, mtime)
    check(size == 0 or (digest, kind) in objects, path, f"its object {digest} is missing")
    check(info.st_size == size, path, "its size differs")
    check(divmod(info.st_mtime_ns, 10**9) == mtime, path, "its mtime differs")
    return row | {"size": size, "digest": digest, "executable": kind == 1, "mtime": "%d.%09d" % mtime}


def read_generation(number, objects):
    folder = b"generations/%d/" % number
    described, entries = read_manifest(folder + b"manifest")
    shown, top = read_shown(folder + b"shown"), folder + b"tree/"
    strangers = set(leaves(top)) ^ {entry[0] for entry in entries}
    check(not strangers, top + min(strangers, default=b""), "it is missing, or in no manifest")
    rows = [check_entry(top + entry[0], entry, shown, objects) for entry in entries]
    return {"generation": number, **described, "entries": rows}


def read_record(path):
    line, _, rest = read(path).partition(b"\n")
    check(rest == blake3(line).hexdigest().encode() + b"\n", path, "the hash differs")
    return json.loads(line)


def read_view(path):
    """Reads a view's record; gives the view's path and what its link holds."""
    record = read_record(path)
    way, below = unquote_to_bytes(record["path"]), unquote_to_bytes(record.get("from", ""))
    check(path == b"views/" + blake3(way).hexdigest()[:32].encode(), path, "it is another view's name")
    check(record["as"] == "link" and way.startswith(b"../"), path, "it is no view's record")
    view = os.path.normpath(os.path.join(os.getcwdb(), way))
    target = os.path.relpath(os.path.join(os.getcwdb(), b"current", below), os.path.dirname(view))
    return text("path", view) | text("target", target)


def main():
    check(read(b"format") == b"genstore 1\n", b"format", "not a store of format 1")
    notice = re.fullmatch(rb"(?=.{20} )[0-9]+ +[0-9a-f]{64}\n|", read(b"notice"))
    check(notice, b"notice", "it is no notice")
    for path in glob.glob(b"pins/*") + glob.glob(b"marks/*"):
        right = rb"pins/[A-Za-z][A-Za-z0-9._-]{0,99}|marks/[1-9][0-9]*"
        check(re.fullmatch(right, path), path, "it has no right name")
        read_record(path)
    views = [read_view(path) for path in sorted(glob.glob(b"views/*")) if not path.endswith(b".pending")]
    sequence = read_record(b"sequence") if os.path.lexists(b"sequence") else {"high": 1 << 64}
    target = os.readlink(b"current") if os.path.lexists(b"current") else b"generations/0/tree"
    match = re.fullmatch(rb"generations/(0|[1-9][0-9]*)/tree", target)
    check(match, b"current", "it names no generation")
    current, intent, objects, generations = int(match[1]), sequence.get("intent", {}), read_objects(), []
    for name in os.listdir(b"generations"):
        check(re.fullmatch(b"[1-9][0-9]*", name), b"generations/" + name, "it is no number")
    for number in sorted(int(name) for name in os.listdir(b"generations")):
        check(number <= sequence["high"], b"sequence", f"it does not know generation {number}")
        if intent.get("kind") == "publish" and intent["generation"] == number != current:
            continue  # not committed: the next writer takes it back
        generations.append(read_generation(number, objects))
    known = current == 0 or current in [row["generation"] for row in generations]
    check(known, b"current", f"it names generation {current}, which is not there")
    print(json.dumps({"current": current or None, "generations": generations, "views": views}, indent=1))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: reader.py STORE")
    try:
        os.chdir(sys.argv[1])
        main()
    except OSError as error:
        check(False, error.filename, error.strerror)
