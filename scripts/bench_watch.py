"""Measures `genstore watch`: its overhead for a build and a restart, and its cost when idle.

scripts/bench watch [--files 10000] [--outputs 10000] [--changed 10] [--runs 20] [--idle 10]
                    [--genstore PROGRAM]

--outputs is the number of files in the output folder, which the builder keeps; try 60000 and 500000.

- commit: from the last write to a source until the build's result is current, without the debounce
  and without the build itself (the time from its start to its end, as `watch` tells).
- restart: from the commit until the child runs again, without the time that it takes to stop.
- idle: processor time in the seconds of --idle, and resident memory.
"""

import argparse
import json
import os
import queue
import shutil
import signal
import statistics
import subprocess
import threading
import time
from pathlib import Path

WORK = Path("target/bench/watch")
DEBOUNCE = 0.1
FOLDERS = 200


class Watch:
    """A running watch, and its events with their times."""

    def __init__(self, program, project, build):
        argv = [program, "watch", "--json", "--debounce", f"{DEBOUNCE * 1000:.0f}ms", "--output", "out",
                "--run", "child: exec sleep 1000", "--", "sh", "-c", build]
        self.process = subprocess.Popen(argv, cwd=project, stdout=subprocess.PIPE, text=True)
        self.events = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.events.put((time.perf_counter(), json.loads(line)))

    def until(self, **wanted):
        """Waits for an event with these fields; returns its time and its content."""
        while True:
            at, event = self.events.get(timeout=60)
            if event["event"] in ("error", "warning"):
                raise SystemExit(f"bench: {event}")
            if all(event.get(name) == value for name, value in wanted.items()):
                return at, event

    def cost(self):
        """Returns the processor seconds so far, and the resident bytes."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks = os.sysconf("SC_CLK_TCK")
        return (int(stat[11]) + int(stat[12])) / ticks, int(stat[21]) * os.sysconf("SC_PAGE_SIZE")

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait()


def make(project, sources, outputs):
    """Creates the sources, and the outputs of a builder beside them."""
    for top, count in (("src", sources), ("out", outputs)):
        for n in range(count):
            path = project / top / f"{n % FOLDERS:03}" / f"{n}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"file {n} of {top}\n" * 20)
    # Generations are given up early, as they are in longer use: their trees are recycled.
    retain = '[retain]\nkeep_last = 2\ngrace = "0s"\n'
    (project / "genstore.toml").write_text(retain + '[watch]\npaths = ["src"]\n')


def measure(watch, project, changed, runs):
    commits, restarts, phases = [], [], []
    for run in range(runs):
        for n in range(changed):
            (project / "src" / f"{n % FOLDERS:03}" / f"{n}.txt").write_text(f"run {run} file {n}\n")
        last = time.perf_counter()
        began, _ = watch.until(event="build-start")
        ended, _ = watch.until(event="build-end")
        published, event = watch.until(event="published")
        stopped, _ = watch.until(event="child", state="stopped")
        started, _ = watch.until(event="child", state="started")
        commits.append(published - last - DEBOUNCE - (ended - began))
        # The child stops at once when it gets the signal; its own stop time is part of the measurement.
        restarts.append(started - published)
        phases.append((began - last - DEBOUNCE, ended - began, published - ended))
    return commits, restarts, phases


def limit(outputs):
    """Returns the limit in ms from an event to the commit, for so many kept outputs."""
    return 60 if outputs <= 10_000 else 100 if outputs <= 60_000 else 500


def show(name, seconds, floor):
    middle, worst = statistics.median(seconds) * 1000, max(seconds) * 1000
    verdict = "yes" if middle < floor else "NO"
    print(f"{name:34} {middle:7.1f} ms  (worst {worst:.1f} ms)   under {floor} ms: {verdict}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--outputs", type=int, help="the same number without it")
    parser.add_argument("--changed", type=int, default=10)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--idle", type=float, default=10, help="seconds")
    parser.add_argument("--genstore", default="target/release/genstore")
    options = parser.parse_args()
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    outputs = options.outputs or options.files
    make(WORK, options.files, outputs)
    # An incremental builder: it writes only the outputs of changed sources.
    copy = "; ".join(f"cp src/{n % FOLDERS:03}/{n}.txt out/{n % FOLDERS:03}/" for n in range(options.changed))
    watch = Watch(Path(options.genstore).resolve(), WORK, copy)
    try:
        watch.until(event="child", state="started")
        commits, restarts, phases = measure(watch, WORK, options.changed, options.runs)
        before, _ = watch.cost()
        time.sleep(options.idle)
        after, memory = watch.cost()
    finally:
        watch.end()
    print(f"{options.files:,} sources, {outputs:,} outputs, {options.changed} changed, {options.runs} runs\n")
    show("commit after the last event", commits, limit(outputs))
    for name, at in (("  look at the sources", 0), ("  (the build itself)", 1), ("  publish", 2)):
        print(f"{name:34} {statistics.median(phase[at] for phase in phases) * 1000:7.1f} ms")
    show("restart after the commit", restarts, 50)
    spent = (after - before) * 1000 / options.idle
    verdict = "yes" if memory < 30e6 else "NO"
    print(f"{'idle':34} {spent:7.1f} ms of processor per second, {memory / 1e6:.1f} MB   under 30 MB: {verdict}")
    shutil.rmtree(WORK, ignore_errors=True)


if __name__ == "__main__":
    main()
