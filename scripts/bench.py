#!/usr/bin/env python3
"""Measures genstore and its peers, in paired runs, on one filesystem, with a warm cache.

In every run of a step each tool does the same work on the same source, in an order that rotates
from run to run, so that a slow moment of the machine falls on all of them. Between two timed
commands everything dirty is flushed. A ratio is the median of the ratios within the runs.

Every tool ends with its data durable: genstore and ostree flush by themselves, the others get a
`sync`, which counts. Work that a peer lacks (retargeting a `current`) is not charged to it.

Nothing is deleted between the runs: see `Attic`. For steady figures let no one else delete many
files on this filesystem meanwhile.

Everything happens in target/bench. The trees stay for the next time, as do results.json,
results.md and results.svg; all else is removed, also after Ctrl-C. `--clean` removes the lot.
"""

import argparse
import contextlib
import fcntl
import html
import json
import math
import os
import platform
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / "target" / "bench"
WORK = BENCH / "work"  # everything that goes away at the end
ATTIC = WORK / "attic"
SRC = WORK / "src"  # our own copy of the tree: the steps edit it
MAX_EDITED = 1 << 20  # an edited file is a source file, not an archive


# --- running commands ------------------------------------------------------------------------


class Failed(Exception):
    """A message for the person at the terminal."""


def environment():
    """Returns the environment of every child: no user configuration, no locale."""
    return {
        "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin",
        "HOME": str(WORK),
        "LC_ALL": "C",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_AUTHOR_NAME": "bench",
        "GIT_AUTHOR_EMAIL": "bench@example.invalid",
        "GIT_COMMITTER_NAME": "bench",
        "GIT_COMMITTER_EMAIL": "bench@example.invalid",
    }


class Sample:
    """One timed run: seconds of each command, and the largest peak memory among them."""

    def __init__(self, parts, peak_kb, out=""):
        self.parts, self.peak_mb, self.out = parts, peak_kb / 1024, out
        self.seconds = sum(parts)


def run(*commands):
    """Runs the commands one after the other and times each.

    posix_spawn and wait4 add about a millisecond, and wait4 gives each child's own peak memory.
    (The kernel counts our own peak into a child's, for the moment before its exec. That is why
    this program never holds a list of all files: a reading of some 20 MB may be our own.)
    """
    parts, peak = [], 0
    log = str(WORK / "log")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for argv in commands:
        argv = [str(arg) for arg in argv]
        files = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log + ".out", flags, 0o644),
            (os.POSIX_SPAWN_OPEN, 2, log + ".err", flags, 0o644),
        ]
        start = time.perf_counter()
        pid = os.posix_spawnp(argv[0], argv, environment(), file_actions=files)
        try:
            _, status, usage = os.wait4(pid, 0)
        except BaseException:  # Ctrl-C: nothing of ours may write on while we clean up
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
            raise
        parts.append(time.perf_counter() - start)
        peak = max(peak, usage.ru_maxrss)
        if status != 0:
            code = os.waitstatus_to_exitcode(status)
            raise Failed(f"{' '.join(argv)}: exit {code}\n{Path(log + '.err').read_text()[-2000:]}")
    return Sample(parts, peak, Path(log + ".out").read_text(errors="replace")[-65536:])


def settle():
    """Flushes dirty data of earlier commands, outside the timed part."""
    os.sync()
    time.sleep(0.1)


def remove(path):
    """Removes a tree, in a separate process: half a million names would increase this one's memory."""
    if os.path.lexists(path):
        subprocess.run(["rm", "-rf", "--", str(path)], check=True)


def warm(top):
    """Reads every file once: a virtual machine may lose its page cache meanwhile."""
    run(["sh", "-c", 'find "$1/" -type f -print0 | xargs -0 cat >/dev/null', "sh", top])


class Attic:
    """Holds finished trees, because deleting them would disturb the next runs.

    ext4 without a journal does not take a deleted inode again for up to six minutes (RECENTCY_MIN
    and RECENTCY_DIRTY in fs/ext4/ialloc.c), and steps over all of them at each creation: after
    `rm -rf` of one node_modules, `cp -a` of another takes several times as long.
    """

    QUIET_SECONDS = 361

    def __init__(self, files, size):
        self.slow_reuse = files > 10_000 and no_journal(BENCH)
        self.room = 10 * (size + 4096 * files)  # one round of first publishes, and to spare
        self.count = 0

    def take(self, path):
        if os.path.lexists(path):
            self.count += 1
            os.rename(path, ATTIC / str(self.count))

    def make_room(self):
        """Empties the attic, and waits, if the disk may be too full for a round."""
        if shutil.disk_usage(WORK).free < self.room and self.count:
            say("  (emptying the attic)")
            remove(ATTIC)
            ATTIC.mkdir()
            self.count = 0
            self.wait(self.QUIET_SECONDS)
        if (free := shutil.disk_usage(WORK).free) < self.room:
            raise Failed(f"{self.room / 1e9:.0f} GB free are needed, {free / 1e9:.0f} GB there are")

    def wait(self, seconds):
        if self.slow_reuse and seconds > 0:
            say(f"  (waiting {seconds:.0f} s, until ext4 has forgotten the files deleted before)")
            settle()
            time.sleep(seconds)


def no_journal(path):
    """Returns whether it is ext4 without a journal: only that shows no `data=` among its options."""
    device = os.stat(path).st_dev
    name = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve().name
    try:
        return "data=" not in Path(f"/proc/fs/ext4/{name}/options").read_text()
    except OSError:
        return False  # another filesystem


def say(text):
    print(text, file=sys.stderr, flush=True)


# --- the trees -------------------------------------------------------------------------------


def files_below(top):
    """Yields (path, size) of every regular file, in a fixed order."""
    with os.scandir(top) as listing:
        entries = sorted(listing, key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from files_below(entry.path)
        elif entry.is_file(follow_symlinks=False):
            yield entry.path, entry.stat(follow_symlinks=False).st_size


def make_t0(into):
    """1,000 files of 0.2 to 2 kB: to test the bench itself; its times mean nothing."""
    small_files(into, random.Random(0), 20, 50)


def make_t1(into):
    """A real node_modules of 50,000 to 70,000 files, 0.7 GB."""
    if not shutil.which("npm"):
        raise Failed("tree t1 is made by npm, which is not installed; --tree t2 and t3 need no npm")
    shutil.copy(ROOT / "scripts" / "bench-tree" / "package.json", into)
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--silent"]
    subprocess.run(["npm", "install", *quiet], cwd=into, check=True)


def make_t2(into):
    """2,500 files of 32 KiB to 4 MiB, 2 GB: few names, many bytes."""
    rng = random.Random(2)
    for number in range(2500):
        folder = into / f"part-{number % 50:02}"
        folder.mkdir(exist_ok=True)
        size = int(32 * 1024 * 128 ** rng.random())
        (folder / f"{number:04}.bin").write_bytes(rng.randbytes(size))


def make_t3(into):
    """500,000 files of 0.2 to 2 kB in 5,000 directories: many names, few bytes."""
    small_files(into, random.Random(3), 5000, 100)


def small_files(into, rng, folders, files_each):
    for number in range(folders):
        folder = into / f"{number // 100:02}" / f"{number % 100:02}"
        folder.mkdir(parents=True)
        for name in range(files_each):
            (folder / f"{name:02}.txt").write_bytes(rng.randbytes(rng.randint(200, 2000)))


TREES = {  # name: (maker, folder within, fewest and most files)
    "t0": (make_t0, ".", 1_000, 1_000),
    "t1": (make_t1, "node_modules", 50_000, 70_000),
    "t2": (make_t2, ".", 2_500, 2_500),
    "t3": (make_t3, ".", 500_000, 500_000),
}


def tree(name):
    """Returns the tree's directory, its number of files and its bytes; creates it if it is absent.

    A tree gets its final name when it is complete. One made from another package list is stale.
    """
    maker, inner, fewest, most = TREES[name]
    home = BENCH / name
    recipe = ROOT / "scripts" / "bench-tree" / "package.json"
    if name == "t1" and home.exists() and not same_bytes(home / "package.json", recipe):
        remove(home)
    if not home.exists():
        say(f"making tree {name}: {maker.__doc__}")
        partial = WORK / "tree"
        partial.mkdir()
        if forked(lambda: maker(partial)) != 0:  # forked, so that our own peak memory stays low
            raise Failed(f"could not make tree {name}")
        partial.rename(home)
    files = size = 0
    for _, file_size in files_below(home / inner):
        files, size = files + 1, size + file_size
    if not fewest <= files <= most:
        raise Failed(f"tree {name} has {files:,} files, not {fewest:,} to {most:,}; try --clean")
    return home / inner, files, size


def same_bytes(a, b):
    return a.exists() and a.read_bytes() == b.read_bytes()


def fork(action):
    """Starts the action in a forked child and returns its pid."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        action()
        status = 0
    except Exception as error:
        say(f"bench: {error}")
    finally:  # whatever happened, a child never goes on as its parent
        os._exit(status)


def forked(action):
    """Runs the action in a forked child and returns its exit code."""
    pid = fork(action)
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except BaseException:  # Ctrl-C: the child ends first, and takes its own children with it
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
        raise


class Editor:
    """Rewrites files of the source in place, as a build does: spread evenly, always the same."""

    def __init__(self, files):
        self.files, self.round, self.chosen = files, 0, {}

    def edit(self, count):
        if count not in self.chosen:
            self.chosen[count] = self.choose(count)
        self.round += 1
        mark = f"// edit {self.round:06}\n".encode()
        for path in self.chosen[count]:
            with open(path, "r+b") as file:
                body = file.read()
                if body[-len(mark) : -7] == b"// edit ":  # replaced, so that no file grows on
                    body = body[: -len(mark)]
                file.seek(0)
                file.write(body + mark)

    def choose(self, count):
        stride, chosen = max(1, self.files // count), []
        due = 0  # the next file that is small enough from here on is taken
        for number, (path, size) in enumerate(files_below(SRC)):
            if number >= due and 0 < size <= MAX_EDITED:
                chosen.append(path)
                due += stride
                if len(chosen) == count:
                    break
        if len(chosen) < count:
            raise Failed(f"only {len(chosen)} of {count} files could be chosen for editing")
        return chosen


# --- the tools -------------------------------------------------------------------------------


class Tool:
    """A way to publish SRC as a numbered generation in a directory of its own."""

    name = ""
    program = ""

    def __init__(self, attic):
        self.dir = WORK / type(self).__name__.lower()
        self.attic = attic
        self.number = 0
        self.holds = None  # the round of edits that its newest generation shows

    def generation(self, number):
        return self.dir / f"gen-{number}"

    def reset(self):
        """Removes all publications."""
        self.attic.make_room()
        self.attic.take(self.dir)
        self.dir.mkdir()
        self.number, self.holds = 0, None

    def publish(self):
        """The commands that publish SRC as the next generation, durably."""
        self.number += 1
        return self.commands(self.generation(self.number - 1), self.generation(self.number))

    def commands(self, old, new):
        raise NotImplementedError

    def check(self, sample, edited):
        """Fails if a run did not publish the expected change: `edited` paths, None for all."""

    def own(self):
        """Returns the tool's own files that a publish reads; they are cached, like the source."""
        return [self.generation(self.number)]


class Genstore(Tool):
    name = "genstore"
    binary = None

    def call(self, *arguments):
        return [self.binary, "--store", self.dir / "store", *arguments]

    def commands(self, old, new):
        return [self.call("--json", "publish", SRC)]

    def own(self):
        return [self.dir / "store" / "objects", f"{self.dir / 'store' / 'current'}/"]

    def check(self, sample, edited):
        report = json.loads(sample.out)
        if report["changed"] != (edited != 0) or edited not in (None, report["modified"]):
            raise Failed(f"genstore publish reports {sample.out.strip()}, {edited} paths changed")


class Recycling(Genstore):
    """With `[retain] auto`: from the third publication on, the tree of an older one becomes the new."""

    name = "genstore, recycling"
    config = '[store]\npath = "store"\n[retain]\nauto = true\nkeep_last = 1\ngrace = "0s"\n'

    def reset(self):
        super().reset()
        (self.dir / "genstore.toml").write_text(self.config)

    def call(self, *arguments):
        return [self.binary, "-C", self.dir, *arguments]

    def own(self):
        return [self.dir / "store"]

    def check(self, sample, edited):
        super().check(sample, edited)
        if edited and "recycled" not in json.loads(sample.out):
            raise Failed(f"nothing was recycled: {sample.out.strip()}")


class CpSync(Tool):
    name = "cp -a, sync"
    program = "cp"

    def commands(self, old, new):
        return [["cp", "-a", SRC, new], ["sync"]]


class CpLink(Tool):
    name = "cp -al, rsync, sync"
    program = "rsync"

    def commands(self, old, new):
        if not old.exists():
            return [["cp", "-a", SRC, new], ["sync"]]
        # rsync replaces a changed file by rename, so the old generation keeps its bytes.
        return [["cp", "-al", old, new], ["rsync", "-a", "--delete", f"{SRC}/", new], ["sync"]]


class LinkDest(Tool):
    name = "rsync --link-dest, sync"
    program = "rsync"

    def commands(self, old, new):
        link = [f"--link-dest={old}"] if old.exists() else []
        return [["rsync", "-a", *link, f"{SRC}/", f"{new}/"], ["sync"]]


class Rsync(LinkDest):
    name = "rsync -a, sync"


class Ostree(Tool):
    name = "ostree commit, checkout -H"
    program = "ostree"

    def reset(self):
        super().reset()
        run(self.call("init", "--mode=bare-user"))

    def call(self, verb, *arguments):
        return ["ostree", f"--repo={self.dir / 'repo'}", verb, *arguments]

    def checkout(self, rev, into):
        # -U: a bare-user repository can only hard-link what has the caller's owner.
        return self.call("checkout", "-U", "-H", rev, into)

    def commands(self, old, new):
        return [self.call("commit", "-b", "main", f"--tree=dir={SRC}"), self.checkout("main", new)]

    def own(self):
        return [self.dir / "repo", *super().own()]


class Git(Tool):
    name = "git add, commit, worktree, sync"
    program = "git"

    def reset(self):
        super().reset()
        run(["git", "init", "-q", "--bare", self.dir / "repo"])

    def commands(self, old, new):
        repo = ["git", f"--git-dir={self.dir / 'repo'}"]
        git = [*repo, f"--work-tree={SRC}", "-c", "gc.auto=0"]
        return [
            # -f: a node_modules contains ignore files of its packages.
            [*git, "add", "-A", "-f", "."],
            [*git, "commit", "-q", "-m", "bench"],
            [*repo, "worktree", "add", "-q", "--detach", new, "HEAD"],
            ["sync"],
        ]


# --- the measurements ------------------------------------------------------------------------


LIMITS = "machine limits"
COPY, FLUSH = "copy (cp -a)", "flush it (sync)"
WALK, READ, HASH = "walk and stat (find)", "read (cat per core)", "read, hash (blake3 per core)"
LINK, FLUSH_LINKS = "link (cp -al)", "flush the links (syncfs)"
UNLINK, UNLINK_ALL = "remove the links (rm -rf)", "remove the links (rm -rf per core)"
WALK_ALL = "walk and stat (find per core)"
OBJECTS = "stat each object (find per core)"
WRITE = "read, hash, write, flush (per core)"

# The limit of each step, measured with plain tools: the first of these that was measured.
LIMITS_OF = [  # (step, tool of ours, its limits)
    ("first publish", Genstore, [(WRITE,), (COPY, FLUSH), (WALK, READ)]),
    ("nothing changed", Genstore, [(WALK_ALL, OBJECTS)]),
    ("10 files changed", Recycling, [(WALK_ALL, OBJECTS)]),
    ("10 files changed", Genstore, [(WALK_ALL, OBJECTS, LINK, FLUSH_LINKS)]),
    ("1 % changed", Recycling, [(WALK_ALL, OBJECTS)]),
    ("1 % changed", Genstore, [(WALK_ALL, OBJECTS, LINK, FLUSH_LINKS)]),
    ("verify", Genstore, [(HASH,), (WALK, READ)]),
    ("gc of one generation", Genstore, [(UNLINK_ALL,), (UNLINK,)]),
]


class Act(NamedTuple):
    """The work of one tool in each round of a step; only `timed` is timed."""

    name: str
    timed: Callable[[], Sample]
    prepare: Callable[[], object] | None = None
    after: Callable[[Sample], object] | None = None
    own: Callable[[], list] | None = None  # what to look at before, so that it is warm


class Bench:
    def __init__(self, runs, files, only, attic):
        self.runs, self.only, self.attic = runs, only, attic
        self.editor = Editor(files)
        self.pair = None  # the round of edits after which each tool has two generations
        self.results = {}  # step -> tool -> [Sample]
        self.tools = {}
        self.one_percent = files // 100

    def tool(self, kind):
        """The one instance of a tool, or None if it is not selected or not installed."""
        if kind not in self.tools:
            mine = issubclass(kind, Genstore)
            wanted = self.only in (None, "genstore" if mine else "peers")
            if wanted and not mine and not shutil.which(kind.program):
                say(f"{kind.program} is not installed: measuring without {kind.name}")
                wanted = False
            self.tools[kind] = kind(self.attic) if wanted else None
        return self.tools[kind]

    def record(self, step, name, sample):
        self.results.setdefault(step, {}).setdefault(name, []).append(sample)

    def rounds(self, step, acts, before=None, runs=None, reads_source=False):
        """Runs the given acts once per round, in rotated order, flushed in between."""
        acts = [act for act in acts if act]
        for number in range(runs or self.runs):
            if before:
                before()
            turn = number % len(acts) if acts else 0
            for act in acts[turn:] + acts[:turn]:
                if act.prepare:
                    act.prepare()
                settle()
                if reads_source:
                    warm(SRC)
                if act.own:
                    run(["find", *act.own(), "-size", "+9999G"])
                sample = act.timed()
                self.record(step, act.name, sample)
                if act.after:
                    act.after(sample)
        for act in acts:
            median = statistics.median(sample.seconds for sample in self.results[step][act.name])
            say(f"  {step:<22} {act.name:<32} {show(median)}")

    def publishes(self, step, kinds, edits):
        """Times publishing after `edits` changed files; None publishes for the first time."""

        def act(tool):
            return Act(
                tool.name,
                lambda: self.publish(tool),
                prepare=tool.reset if edits is None else None,
                after=lambda sample: tool.check(sample, edits),
                own=tool.own if edits is not None else None,
            )

        tools = [tool for tool in map(self.tool, kinds) if tool]
        if edits is not None:
            self.catch_up(tools)
        change = (lambda: self.editor.edit(edits)) if edits else None
        self.rounds(step, map(act, tools), before=change, reads_source=True)

    def publish(self, tool):
        tool.holds = self.editor.round
        return run(*tool.publish())

    def catch_up(self, tools):
        """Makes every tool publish SRC in its present state, untimed."""
        for tool in tools:
            if tool.number == 0:
                tool.reset()
            if tool.holds != self.editor.round:
                self.publish(tool)

    # One method per step, in the order in which they run.

    def first(self):
        kinds = [Genstore, CpSync, Ostree, Git, Rsync]
        self.publishes("first publish", kinds, None)
        genstore = self.tool(Genstore)
        if genstore:  # a fast publish of something else would be worthless
            current = genstore.dir / "store" / "current"
            run(["diff", "-rq", "--no-dereference", SRC, f"{current}/"])
        for kind in (CpSync, Git, Rsync):  # not met again
            if self.tool(kind):
                self.attic.take(self.tool(kind).dir)
        # The times that cp spends on reading and writing, and on the flush, are limits of the machine.
        for sample in self.results["first publish"].get(CpSync.name, []):
            for limit, seconds in zip((COPY, FLUSH), sample.parts):
                self.record(LIMITS, limit, Sample([seconds], sample.peak_mb * 1024))

    AGAIN = [Genstore, Ostree, CpLink, LinkDest]

    def same(self):
        self.publishes("nothing changed", self.AGAIN, 0)

    def ten(self):
        self.begin_to_recycle()
        self.publishes("10 files changed", [*self.AGAIN, Recycling], 10)

    def percent(self):
        self.begin_to_recycle()
        self.publishes("1 % changed", [*self.AGAIN, Recycling], self.one_percent)
        if self.tool(Recycling):  # not met again
            self.attic.take(self.tool(Recycling).dir)

    def begin_to_recycle(self):
        """It can recycle from its third publication on."""
        recycling = self.tool(Recycling)
        while recycling and recycling.number < 2:
            self.catch_up([recycling])
            self.editor.edit(10)

    def two_generations(self):
        """Returns genstore and ostree, each with two newest generations that differ in 10 files."""
        kinds = [Genstore, Ostree]
        tools = [tool for tool in map(self.tool, kinds) if tool]
        if self.pair != self.editor.round:
            self.catch_up(tools)
            self.editor.edit(10)
            self.catch_up(tools)
            self.pair = self.editor.round
        return [self.tool(kind) for kind in kinds]

    def rollback(self):
        """Between generations that differ in 10 files, which therefore need a fresh mtime."""
        genstore, ostree = self.two_generations()
        acts = []
        if genstore:
            newest = run(genstore.call("current")).out.strip()
            acts.append(Act(
                Genstore.name,
                lambda: run(genstore.call("rollback")),
                after=lambda _: run(genstore.call("switch", newest)),
            ))
        if ostree:
            back = WORK / "back"
            acts.append(Act(
                "ostree checkout -H of main^",
                lambda: run(ostree.checkout("main^", back)),
                after=lambda _: self.attic.take(back),
            ))
        self.rounds("rollback", acts)

        if genstore:
            self.rollback_alone(genstore)

    def rollback_alone(self, genstore):
        """Between generations of which one has files that the other lacks: none needs a fresh mtime."""
        added = [SRC / f"bench-{number}.txt" for number in range(10)]
        for path in added:
            path.write_text(f"{path.name} {self.editor.round}\n")
        self.publish(genstore)
        newest = run(genstore.call("current")).out.strip()
        self.rounds("rollback, none to refresh", [Act(
            Genstore.name,
            lambda: run(genstore.call("rollback")),
            after=lambda _: run(genstore.call("switch", newest)),
        )], runs=4 * self.runs)
        for path in added:
            path.unlink()
        self.pair = genstore.holds = None

    def diff(self):
        genstore, ostree = self.two_generations()
        self.rounds("diff, 10 changed", [
            genstore and Act(Genstore.name, lambda: run(genstore.call("diff"))),
            ostree and Act("ostree diff", lambda: run(ostree.call("diff", "main^", "main"))),
        ], runs=2 * self.runs)

    def verify(self):
        genstore, ostree = self.two_generations()
        acts = []
        if genstore:
            verify = genstore.call("verify")
            acts.append(Act(Genstore.name, lambda: run(verify), lambda: warm(genstore.dir / "store" / "objects")))
        if ostree:
            fsck = ostree.call("fsck", "--quiet")
            acts.append(Act("ostree fsck", lambda: run(fsck), lambda: warm(ostree.dir / "repo")))
        self.rounds("verify", acts)

    def gc(self):
        """Collects one generation that shares 99 % with the remaining one."""

        def act(tool, name, collect):
            return tool and Act(
                name, lambda: run(*collect()), lambda: self.publish(tool), own=lambda: [tool.dir])

        def rm_previous(tool):
            return ["rm", "-rf", tool.generation(tool.number - 1)]

        genstore, ostree, link = tools = [self.tool(kind) for kind in (Genstore, Ostree, LinkDest)]
        self.catch_up([tool for tool in tools if tool])
        if genstore:
            keep_one = genstore.call("gc", "--keep-last", "1", "--grace", "0s")
            run(keep_one)
        if ostree:
            prune = ostree.call("prune", "--refs-only", "--depth=0")
            run(prune)
        self.rounds("gc of one generation", [
            act(genstore, Genstore.name, lambda: [keep_one]),
            act(ostree, "rm -rf, ostree prune", lambda: [rm_previous(ostree), prune, ["sync"]]),
            act(link, "rm -rf after --link-dest, sync", lambda: [rm_previous(link), ["sync"]]),
        ], before=lambda: self.editor.edit(self.one_percent))

    def current(self):
        genstore = self.tool(Genstore)
        if genstore:
            self.catch_up([genstore])
        for step, arguments in (("current", ["current"]), ("path", ["path", "@"])):
            self.rounds(step, [
                genstore and Act(Genstore.name, lambda: run(genstore.call(*arguments))),
                Act("/bin/true", lambda: run(["/bin/true"])),
            ], runs=4 * self.runs)

    def limits(self):
        """Measures the machine's time for the parts of a publish, with plain tools."""
        names, made = WORK / "names", []
        with open(names, "wb") as out:
            subprocess.run(["find", SRC, "-type", "f", "-print0"], stdout=out, check=True)
        cores = os.cpu_count() or 1
        # No file is that large, but find must stat each file to know.
        find = ["find", SRC, "-size", "+9999G"]

        def link():
            made.append(WORK / f"links-{len(made)}")
            return run(["cp", "-al", SRC, made[-1]], ["sync", "-f", made[-1]])

        def split(sample):
            """The names themselves, and their flush."""
            for limit, seconds in zip((LINK, FLUSH_LINKS), sample.parts):
                self.record(LIMITS, limit, Sample([seconds], sample.peak_mb * 1024))

        # The output contains the whole tree, so it is not logged.
        silent = ["sh", "-c", 'exec "$@" >/dev/null', "sh"]
        cat = [*silent, "xargs", "-0", "-a", names, "-n", "500", "-P", cores, "cat"]
        hashes = [sys.executable, __file__, "--hash-all", names]
        # As many processes as there are cores, each with some of the top-level folders.
        shared = 'cd "$1" && shift && ls -A | xargs -P "$1" -n 16 '

        def find_all(top):
            return ["sh", "-c", shared + """sh -c 'find "$@" -size +9999G' find""", "sh", top, cores]

        genstore = self.tool(Genstore)
        objects = genstore and genstore.number and genstore.dir / "store" / "objects"
        remove_all = shared + "rm -rf"

        def write():
            written = WORK / f"written-{len(made)}-{time.monotonic_ns()}"
            written.mkdir()
            sample = run([*hashes, "--into", written], ["sync", "-f", written])
            self.attic.take(written)
            return sample

        self.rounds(LIMITS, [
            Act(WALK, lambda: run(find)),
            Act(WALK_ALL, lambda: run(find_all(SRC))),
            objects and Act(OBJECTS, lambda: run(find_all(objects))),
            has_blake3() and Act(WRITE, write),
            Act(LINK + ", and flush", link, after=split),
            Act(READ, lambda: run(cat)),
            has_blake3() and Act(HASH, lambda: run(hashes)),
        ], reads_source=True)
        del self.results[LIMITS][LINK + ", and flush"]  # both parts have lines of their own
        # This comes last, because deleting files slows down creating new ones: see `Attic`.
        again = [run(["cp", "-al", SRC, WORK / f"again-{number}"]) and WORK / f"again-{number}"
                 for number in range(self.runs)]
        self.rounds(LIMITS, [
            Act(UNLINK, lambda: run(["rm", "-rf", made.pop()])),
            Act(UNLINK_ALL, lambda: run(["sh", "-c", remove_all, "sh", again.pop(), cores])),
        ])


def has_blake3():
    probe = [sys.executable, "-c", "import blake3"]
    return subprocess.run(probe, stderr=subprocess.DEVNULL, check=False).returncode == 0


def hash_all(names, into):
    """Hashes every file named in `names`, one process per core: the limit for verify. With `into`,
    the bytes are also written there, once: the limit for a first publish, but for the flush."""
    from blake3 import blake3  # the only import from outside the standard library

    paths = Path(names).read_bytes().split(b"\0")[:-1]
    cores = os.cpu_count() or 1

    def share(number):
        for index, path in enumerate(paths[number::cores]):
            with contextlib.ExitStack() as files:
                file = files.enter_context(open(path, "rb", buffering=0))
                if into:  # spread over folders, as the files are
                    folder = Path(into) / f"{number}-{index // 64}"
                    if index % 64 == 0:
                        folder.mkdir()
                    copy = files.enter_context(open(folder / f"{index}", "xb", buffering=0))
                digest = blake3()
                while block := file.read(1 << 20):
                    digest.update(block)
                    if into:
                        copy.write(block)

    children = [fork(lambda number=number: share(number)) for number in range(cores)]
    sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children))


# --- what comes out --------------------------------------------------------------------------


def show(seconds):
    return f"{seconds * 1000:8.1f} ms" if seconds < 0.1 else f"{seconds:8.2f} s "


def rows(results):
    """One row per step and tool; the ratio is the tool's time over genstore's, run by run."""
    # The machine's limits come last, although the first step has already found two of them.
    for step, tools in sorted(results.items(), key=lambda item: item[0] == LIMITS):
        mine = tools.get(Genstore.name)
        for name, samples in tools.items():
            times = [sample.seconds for sample in samples]
            ratio = None
            if mine:
                ratio = statistics.median(t / m.seconds for t, m in zip(times, mine))
            yield {
                "step": step,
                "tool": name,
                "median_s": statistics.median(times),
                "min_s": min(times),
                "ratio_to_genstore": ratio,
                "peak_mb": max(sample.peak_mb for sample in samples),
                "seconds": times,
            }


def table(lines):
    head = ["step", "tool", "median", "min", "/ genstore", "peak MB"]
    body, last = [], None
    for line in lines:
        ratio = line["ratio_to_genstore"]
        body.append([
            line["step"] if line["step"] != last else "",
            line["tool"],
            show(line["median_s"]).strip(),
            show(line["min_s"]).strip(),
            f"{ratio:.2f}" if ratio is not None else "-",
            f"{line['peak_mb']:.0f}",
        ])
        last = line["step"]
    widths = [max(len(row[column]) for row in [head, *body]) for column in range(len(head))]

    def text(row):
        cells = [
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ]
        return f"| {' | '.join(cells)} |"

    rule = "|".join("-" * (w + 2) if c < 2 else "-" * (w + 1) + ":" for c, w in enumerate(widths))
    return "\n".join([text(head), f"|{rule}|", *map(text, body)])


def beside_limits(lines):
    """Yields each genstore phase with the machine's limit for it, and the ratio of the two."""
    medians = {(line["step"], line["tool"]): line["median_s"] for line in lines}
    for step, tool, choices in LIMITS_OF:
        mine = medians.get((step, tool.name))
        for parts in choices:
            times = [medians.get((LIMITS, part)) for part in parts]
            if mine is not None and None not in times:
                limit = sum(times)
                yield {"step": step, "tool": tool.name, "genstore_s": mine, "limit": " + ".join(parts),
                       "limit_s": limit, "ratio": mine / limit}
                break


def limits_table(found):
    head = ["step", "median", "limit of this machine", "limit", "ratio"]
    return "\n".join([
        f"| {' | '.join(head)} |",
        "|---|---:|---|---:|---:|",
        *(f"| {line['tool']}: {line['step']} | {show(line['genstore_s']).strip()} | {line['limit']} "
          f"| {show(line['limit_s']).strip()} | {line['ratio']:.2f} |" for line in found),
    ])


def plot(lines, title):
    """Draws a bar per step and tool, in logarithmic scale, as an SVG for light and dark pages."""
    left, right, bar, gap = 250, 90, 15, 30
    width, scale_width = 900, 900 - left - right
    times = [line["median_s"] for line in lines]
    low, high = math.floor(math.log10(min(times))), math.ceil(math.log10(max(times)))
    high = max(high, low + 1)

    def x(seconds):
        return left + scale_width * (math.log10(seconds) - low) / (high - low)

    body, y, last = [], 44, None
    for line in lines:
        if line["step"] != last:
            y += gap
            last = line["step"]
            body.append(f'<text class="step" x="8" y="{y - 7}">{html.escape(last)}</text>')
        kind = "mine" if line["tool"] == Genstore.name else \
            "limit" if line["step"] == LIMITS else "peer"
        end, middle = x(line["median_s"]), y + bar - 4
        body.append(
            f'<text x="{left - 6}" y="{middle}" text-anchor="end">{html.escape(line["tool"])}</text>'
            f'<rect class="{kind}" x="{left}" y="{y}" width="{max(end - left, 1):.1f}" '
            f'height="{bar - 3}"/>'
            f'<text x="{max(end, left + 1) + 5:.1f}" y="{middle}">'
            f'{show(line["median_s"]).strip()}</text>')
        y += bar
    height = y + 16
    grid = []
    for power in range(low, high + 1):
        at, label = x(10.0**power), f"{10**power:g} s" if power >= 0 else f"{10**(power + 3):g} ms"
        grid.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="46" y2="{height - 8}"/>'
                    f'<text x="{at:.1f}" y="40" text-anchor="middle">{label}</text>')
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">
<title>{html.escape(title)}</title>
<style>
svg {{ background: #fff }}
text {{ font: 11px system-ui, sans-serif; fill: #24292f }}
.step, .title {{ font-weight: 600 }}
line {{ stroke: #d0d7de }}
.mine {{ fill: #0969da }} .peer {{ fill: #8c959f }} .limit {{ fill: #bf8700 }}
@media (prefers-color-scheme: dark) {{
svg {{ background: #0d1117 }}
text {{ fill: #e6edf3 }}
line {{ stroke: #30363d }}
.mine {{ fill: #58a6ff }} .peer {{ fill: #6e7681 }} .limit {{ fill: #d29922 }}
}}
</style>
<text class="title" x="8" y="18">{html.escape(title)}; median, shorter is better</text>
{chr(10).join(grid + body)}
</svg>
"""


# (tree, step, our tool, the other tool, at least this many times faster than it)
RATIOS = [
    ("t1", "first publish", Genstore, Ostree.name, 5),
    ("t1", "first publish", Genstore, CpSync.name, 1 / 1.2),
    ("t1", "nothing changed", Genstore, Ostree.name, 20),
    ("t1", "nothing changed", Genstore, LinkDest.name, 5),
    ("t1", "10 files changed", Recycling, Ostree.name, 40),
    ("t1", "10 files changed", Recycling, CpLink.name, 8),
    ("t1", "10 files changed", Recycling, WALK, 1 / 3),
    ("t1", "1 % changed", Recycling, Ostree.name, 25),
    ("t2", "first publish", Genstore, WRITE, 1 / 1.3),
    ("t2", "verify", Genstore, HASH, 0.8),
]
# (tree, step, our tool, seconds at most)
TIMES = [
    ("t1", "rollback, none to refresh", Genstore, 0.010),
    ("t1", "gc of one generation", Genstore, 0.400),
    ("t1", "current", Genstore, 0.005),
    ("t1", "path", Genstore, 0.005),
    ("t3", "10 files changed", Recycling, 1.2),
    ("t3", "rollback, none to refresh", Genstore, 0.010),
    ("t3", "diff, 10 changed", Genstore, 0.150),
]
# tree -> megabytes at most
PEAKS = {"t1": 150, "t3": 200}


def floors(lines, tree_name):
    """Yields (promise, measured, kept) for genstore's promises about a tree."""
    found = {(line["step"], line["tool"]): line for line in lines}
    for tree_of, step, mine, other, least in RATIOS:
        ours = found.get((step, mine.name))
        # A limit of the machine is measured apart from the step.
        theirs = found.get((step, other)) or found.get((LIMITS, other))
        if tree_of == tree_name and ours and theirs:
            ratio = theirs["median_s"] / ours["median_s"]
            if theirs["step"] == step:
                ratio = statistics.median(t / o for t, o in zip(theirs["seconds"], ours["seconds"]))
            yield f"{step}: {least:.2g} times as fast as {other}", f"{ratio:.2f}", ratio >= least
    for tree_of, step, mine, most in TIMES:
        if tree_of == tree_name and (ours := found.get((step, mine.name))):
            seconds = ours["median_s"]
            yield f"{step}: under {most * 1000:.0f} ms", show(seconds).strip(), seconds < most
    peaks = [line["peak_mb"] for line in lines if line["tool"] in (Genstore.name, Recycling.name)]
    if tree_name in PEAKS and peaks:
        most = PEAKS[tree_name]
        yield f"peak memory under {most} MB", f"{max(peaks):.0f} MB", max(peaks) < most


def machine():
    """Returns the facts needed to judge the numbers. No names of machines or people."""

    def first_line(*argv):
        try:
            out = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
            return out.splitlines()[0].strip()
        except (OSError, subprocess.CalledProcessError, IndexError):
            return None

    model = None
    with contextlib.suppress(OSError):
        for line in open("/proc/cpuinfo", encoding="utf-8"):
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {
        "cpu": model or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1),
        "kernel": platform.release(),
        "filesystem": (first_line("findmnt", "-n", "-o", "FSTYPE", "-T", str(WORK)) or "unknown")
        + (" without a journal" if no_journal(WORK) else ""),
        "genstore": first_line(str(Genstore.binary), "--version") if Genstore.binary else None,
        "ostree": first_line("sh", "-c", "ostree --version | grep Version"),
        "git": first_line("git", "--version"),
        "rsync": first_line("rsync", "--version"),
    }


def report(bench, options, files, size):
    lines = list(rows(bench.results))
    kept, beside = list(floors(lines, options.tree)), list(beside_limits(lines))
    facts = machine()
    print(f"\n{options.tree}: {files:,} files, {size / 1e6:,.0f} MB; {options.runs} paired runs; "
          f"{facts['cores']} cores, {facts['filesystem']}\n")
    text = table(lines)
    if beside:
        text += "\n\n" + limits_table(beside)
    if kept:
        width = max(len(promise) for promise, _, _ in kept)
        text += "\n\n" + "\n".join(
            f"{'OK    ' if good else 'MISSED'}  {promise:<{width}}  {measured}"
            for promise, measured, good in kept
        )
    print(text)
    result = {
        "schema": "genstore.bench/1",
        "tree": {"name": options.tree, "files": files, "bytes": size},
        "runs": options.runs,
        "machine": facts,
        "rows": lines,
        "limits": beside,
        "floors": [{"promise": p, "measured": m, "kept": k} for p, m, k in kept],
    }
    (BENCH / "results.json").write_text(json.dumps(result, indent=1) + "\n")
    about = "\n".join(f"- {key}: {value}" for key, value in facts.items() if value)
    (BENCH / "results.md").write_text(
        f"# {options.tree}: {files:,} files, {size / 1e6:,.0f} MB, {options.runs} paired runs\n\n"
        f"{about}\n\n{text}\n"
    )
    title = f"{options.tree}: {files:,} files, {size / 1e6:,.0f} MB"
    (BENCH / "results.svg").write_text(plot(lines, title))
    say("\nwritten: target/bench/results.json, results.md and results.svg")


# --- the whole -------------------------------------------------------------------------------

STEPS = ["first", "same", "ten", "percent", "rollback", "diff", "verify", "gc", "current", "limits"]


def arguments():
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tree", choices=TREES, default="t1", help="; ".join(
        f"{name}: {maker.__doc__.rstrip('.')}" for name, (maker, *_) in TREES.items()))
    parser.add_argument("--runs", type=int, default=5, help="paired runs of each step (5)")
    parser.add_argument("--steps", default=",".join(STEPS), help="some of %(default)s")
    parser.add_argument("--only", choices=["peers", "genstore", "all"],
                        help="measure one side alone; with t3 genstore, unless this says otherwise")
    parser.add_argument("--genstore", metavar="PROGRAM",
                        help="measure this program instead of building one")
    parser.add_argument("--clean", action="store_true", help="remove target/bench and stop")
    parser.add_argument("--hash-all", metavar="NAMES", help=argparse.SUPPRESS)
    parser.add_argument("--into", metavar="DIR", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.steps = options.steps.split(",")
    if unknown := set(options.steps) - set(STEPS):
        parser.error(f"unknown step {', '.join(sorted(unknown))}; there are {', '.join(STEPS)}")
    if options.only is None and options.tree == "t3":
        options.only = "genstore"  # with the peers it takes hours
    if options.only == "all":
        options.only = None
    if options.runs < 1:
        parser.error("--runs must be at least 1")
    return options


@contextlib.contextmanager
def workplace():
    """The work directory, exclusive while the lock is held, removed afterwards.

    What a killed bench left is removed by the next one.
    """
    BENCH.mkdir(parents=True, exist_ok=True)
    lock = os.open(BENCH, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Failed("another bench is running here") from None
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    try:
        remove(WORK)
        ATTIC.mkdir(parents=True)
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not stop the cleaning
        remove(WORK)
        os.close(lock)


def measure(options):
    # The time when the last bench removed its work, or when this one will remove the remains of a killed
    # one.
    emptied = time.time() if WORK.exists() else BENCH.stat().st_mtime if BENCH.exists() else 0
    with workplace():
        source, files, size = tree(options.tree)
        attic = Attic(files, size)
        attic.make_room()
        attic.wait(emptied + attic.QUIET_SECONDS - time.time())
        run(["cp", "-a", source, SRC])
        bench = Bench(options.runs, files, options.only, attic)
        for step in STEPS:
            if step in options.steps:
                getattr(bench, step)()
        report(bench, options, files, size)


def main():
    options = arguments()
    if options.hash_all:
        hash_all(options.hash_all, options.into)
    if options.clean:
        remove(BENCH)
        return
    if options.only != "peers":
        target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
        program = Path(options.genstore) if options.genstore else target / "release" / "genstore"
        Genstore.binary = program.absolute()
        if not os.access(Genstore.binary, os.X_OK):
            raise Failed(f"{Genstore.binary} is not a program")
    measure(options)


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"bench: {failure}")
    except KeyboardInterrupt:
        say("\nbench: interrupted; cleaned up")
        sys.exit(130)
