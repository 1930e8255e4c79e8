#!/usr/bin/env python3
"""Pulls a generation from a directory remote: checks every byte on the way, and writes its tree.

    remote_reader.py REMOTE CHANNEL DIR

Written from remote-layout.md and store-layout.md alone, to show that they are all it takes. Exits with 1
and a message that names the file when anything is damaged. Needs the package `blake3` and the program
`zstd`. Patches are not used: packs have the same objects.
"""
import os, re, struct, subprocess, sys, tempfile

from blake3 import blake3

from reader import Fields, check, read, read_manifest

NONE = bytes(32)


class Sealed(Fields):
    """The fields of a file that begins with a magic and a version, and ends with the hash of all before."""

    def __init__(self, path, magic, data):
        check(len(data) >= 44 and blake3(data[:-32]).digest() == data[-32:], path, "its hash differs")
        super().__init__(path, data[:-32])
        check(self.take(8) == magic and self.number("I") == 1, path, "the magic or the version differs")

    def short(self):
        return self.take(self.number("B")).decode()

    def names(self):
        heads = {}
        for _ in range(self.number("H")):
            name = self.short()
            heads[name] = (self.number("Q"), self.take(32))
        check(list(heads) == sorted(heads), self.path, "the names are not in order")
        return heads


def decompress(path, data, length, prefix=None):
    """One frame of zstd, with a prefix if there is one."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(prefix or b"")
        file.flush()
        patch = [f"--patch-from={file.name}"] if prefix else []
        words = ["zstd", "-q", "-d", "-c", "--long=28", *patch]
        done = subprocess.run(words, input=data, capture_output=True)
    check(done.returncode == 0, path, f"zstd: {done.stderr.decode(errors='replace')}")
    check(len(done.stdout) == length, path, "its length differs")
    return done.stdout


def hashed(folder, digest, nonce=None):
    name = digest.hex() + (f"-{nonce.hex()}" if nonce else "")
    return f"{folder}/{name[:2]}/{name}"


def read_record(number):
    path = f"log/{number:020}"
    record = Sealed(path, b"gstrecrd", read(path))
    check(record.number("Q") == number, path, "its number differs")
    previous, _nonce, kind = record.take(32), record.take(16), record.number("B")
    _time, _best_before, _epoch, _expected = (record.number(code) for code in "qqQQ")
    _tree, _bundle, _list = record.take(32), record.take(32), record.take(32)
    name, _note = record.short(), record.take(record.number("H"))
    heads, pins, _forgotten = record.names(), record.names(), record.take(32)
    record.take(record.number("H"))
    record.end()
    check(kind in (1, 2, 4, 5, 6, 9) and (kind in (6, 9)) == (name == ""), path, "the kind does not fit")
    return previous, heads, pins


def newest():
    """Reads the log from its beginning; gives the heads and pins of its newest record."""
    before, heads, pins, number = NONE, {}, {}, 1
    while os.path.lexists(f"log/{number:020}"):
        previous, heads, pins = read_record(number)
        check(previous == before, f"log/{number:020}", "it does not follow the record before")
        before, number = blake3(read(f"log/{number:020}")).digest(), number + 1
    return heads | {name: head for name, head in pins.items() if name not in heads}


class Bundle:
    def __init__(self, digest):
        self.digest, self.path = digest, hashed("bundle", digest)
        self.data = read(self.path)
        header = Fields(self.path, self.data[:444])
        check(blake3(self.data[:444]).digest() == digest, self.path, "the hash of its header differs")
        check(header.take(8) == b"gstbundl" and header.number("I") == 1, self.path, "the magic differs")
        header.take(16)
        self.manifest, self.length = header.take(32), header.number("Q")
        header.take(64)
        self.checkpoint, self.checkpoint_manifest, _prefix = header.take(32), header.take(32), header.number("Q")
        self.sections, at = [], 444
        for _ in range(5):
            stored, plain, digest = header.number("Q"), header.number("Q"), header.take(32)
            check(stored == 0 or blake3(self.data[at : at + stored]).digest() == digest, self.path, "a section differs")
            self.sections.append((at, stored, plain))
            at += stored
        header.end()
        check(at == len(self.data), self.path, "its length differs")

    def section(self, number):
        at, stored, plain = self.sections[number]
        return self.data[at : at + stored], plain

    def read_manifest(self):
        prefix = None
        if self.checkpoint != NONE:
            checkpoint = Bundle(self.checkpoint)
            check(checkpoint.checkpoint == NONE, checkpoint.path, "a checkpoint has a checkpoint")
            prefix = checkpoint.read_manifest()
            check(blake3(prefix).digest() == self.checkpoint_manifest, self.path, "its checkpoint is another")
        manifest = decompress(self.path, self.section(3)[0], self.length, prefix)
        check(blake3(manifest).digest() == self.manifest, self.path, "the hash of its manifest differs")
        return manifest

    def read_table(self):
        """Gives the packs, as (path, offset, length), and the runs, as (pack, start, count)."""
        table = Fields(self.path, decompress(self.path, *self.section(2)))
        packs, runs = [], []
        for _ in range(table.number("I")):
            kind, digest, nonce = table.number("B"), table.take(32), table.take(16)
            offset, length = table.number("Q"), table.number("Q")
            if kind == 0:
                own = digest == NONE
                path = self.path if own else hashed("bundle", digest)
                offset = self.sections[4][0] if own else offset
            else:
                check(kind in (1, 2), self.path, "a pack of another kind")
                path = hashed(("pack", "big")[kind - 1], digest, nonce)
            packs.append((path, offset, length))
        for _ in range(table.number("I")):
            runs.append((table.number("I"), table.number("Q"), table.number("I")))
        table.end()
        return packs, runs


class Pack:
    def __init__(self, path, offset, length):
        self.path, self.data, self.open = path, read(path)[offset : offset + length], (None, b"")
        digest = re.fullmatch(r"pack/../([0-9a-f]{64})-[0-9a-f]{32}", path)
        check(not digest or blake3(self.data).hexdigest() == digest[1], path, "its hash differs")
        end = self.data[-60:]
        magic, version, log, count, run = struct.unpack("<8sIIIQ", end[:28])
        check((magic, version) == (b"gst-pack", 1) and 18 <= log <= 22, path, "the magic or the version differs")
        index = self.data[len(self.data) - 60 - 4 * count :]
        check(blake3(index[:-32]).digest() == end[28:], path, "the hash of its index differs")
        self.frame, self.run, self.lengths = 1 << log, run, struct.unpack(f"<{count}I", index[: 4 * count])

    def bytes(self, start, size):
        """Some bytes of the run, from the frames that hold them."""
        check(start + size <= self.run, self.path, "an object lies beyond its end")
        found = b""
        for number in range(start // self.frame, (start + size - 1) // self.frame + 1):
            if self.open[0] != number:
                at = sum(self.lengths[:number])
                length = min(self.frame, self.run - number * self.frame)
                self.open = number, decompress(self.path, self.data[at : at + self.lengths[number]], length)
            begin = max(start - number * self.frame, 0)
            found += self.open[1][begin : start + size - number * self.frame]
        return found


def main(remote, channel, target):
    target = os.path.abspath(target)
    os.chdir(remote)
    check(read("format") == b"genstore-remote 1\n", "format", "not a remote of format 1")
    heads = newest()
    check(channel in heads, "log", f"there is no channel or pin {channel}")
    bundle = Bundle(heads[channel][1])
    with tempfile.NamedTemporaryFile() as file:
        file.write(bundle.read_manifest())
        file.flush()
        described, entries = read_manifest(file.name)
    packs, runs = bundle.read_table()
    needed = list({entry[3]: entry[2] for entry in entries if entry[1] <= 1 and entry[2]}.items())
    objects, opened, rest = {}, {}, iter(needed)
    for pack, start, count in runs:
        for _ in range(count):
            digest, size = next(rest)
            if pack not in opened:
                opened[pack] = Pack(*packs[pack])
            objects[digest] = opened[pack].bytes(start, size)
            check(blake3(objects[digest]).hexdigest() == digest, packs[pack][0], f"object {digest} differs")
            start += size
    check(len(objects) == len(needed), bundle.path, "its table is that of another manifest")
    os.mkdir(target)
    for name, kind, size, digest, mtime, link in entries:
        path = os.path.join(os.fsencode(target), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if kind == 2:
            os.symlink(link, path)
        elif kind == 3:
            os.mkdir(path)
        else:
            with open(path, "xb") as file:
                file.write(objects[digest] if size else b"")
            os.chmod(path, 0o555 if kind == 1 else 0o444)
            os.utime(path, ns=(mtime[0] * 10**9 + mtime[1],) * 2)
    print(described["tree"])


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: remote_reader.py REMOTE CHANNEL DIR")
    try:
        main(*sys.argv[1:])
    except OSError as error:
        check(False, error.filename or "", error.strerror)
