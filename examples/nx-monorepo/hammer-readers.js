// The readers: processes that read all files of the libraries in an endless loop.
"use strict";

const { fork } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");

/** What a source ends with: in `.js` and in `.d.ts`. */
const END = /release = "(1\.0\.\d+)";\n$/;
const GONE = new Set(["ENOENT", "ENOTDIR"]);

/** Tells which release a file is of; nothing, where it is torn. */
function releaseOf(name, text) {
  if (!name.endsWith(".json")) return END.exec(text)?.[1];
  try {
    return JSON.parse(text).version;
  } catch {
    return undefined;
  }
}

/** One of the readers, in its own process. */
class Reader {
  constructor(kind, root, files) {
    Object.assign(this, { kind, root, files, releases: new Set() });
    this.counts = { passes: 0, reads: 0, missing: 0, torn: 0, mixed: 0 };
  }

  /** Runs a call; nothing, where there is nothing at the path. */
  try(call) {
    try {
      return call();
    } catch (error) {
      if (!GONE.has(error.code)) throw error;
      this.counts.missing++;
      return undefined;
    }
  }

  pass() {
    const { counts } = this;
    counts.passes++;
    const root = this.kind === "resolves once" ? this.try(() => fs.realpathSync(this.root)) : this.root;
    if (root === undefined) return;
    const found = new Set();
    for (const name of this.files) {
      counts.reads++;
      const text = this.try(() => fs.readFileSync(path.join(root, name), "utf8"));
      if (text === undefined) continue;
      const release = releaseOf(name, text);
      if (release === undefined) counts.torn++;
      else found.add(release);
    }
    if (found.size > 1) counts.mixed++;
    for (const release of found) this.releases.add(release);
  }

  /** Reads until it is told to stop; messages come between the passes. */
  run() {
    this.pass();
    if (this.counts.passes === 1) process.send("reads");
    if (!this.stopped) return setImmediate(() => this.run());
    process.send({ kind: this.kind, ...this.counts, seen: this.releases.size }, () => process.exit(0));
  }
}

/** All readers, from the outside. */
class Readers {
  /** Starts one of each kind, and waits until they read. */
  static async start(view, files, resolved = view) {
    const readers = new Readers();
    readers.processes = [
      ["resolves once", resolved],
      ["opens each path", view],
    ].map(([kind, root]) => {
      const child = fork(__filename, [kind, root]);
      child.said = [];
      child.ended = new Promise((resolve) => child.on("close", resolve));
      child.on("message", (message) => child.said.push(message));
      child.send(files);
      return child;
    });
    await Promise.all(readers.processes.map((child) => once(child, "message")));
    return readers;
  }

  /** Stops them, and gives what each of them counted. */
  async stop() {
    for (const child of this.processes) if (child.connected) child.send("stop");
    return Promise.all(
      this.processes.map(async (child) => {
        const status = await child.ended;
        const last = child.said.at(-1);
        if (status !== 0 || last === "reads") throw new Error(`a reader ended with ${status}`);
        return last;
      }),
    );
  }
}

/** Waits for the first message of a reader, or for its end. */
function once(child, event) {
  return new Promise((resolve, reject) => {
    child.once(event, resolve);
    child.once("close", (status) => reject(new Error(`a reader ended with ${status}`)));
  });
}

if (require.main === module) {
  const [kind, root] = process.argv.slice(2);
  let reader;
  // The parent is gone, so nobody needs the results.
  process.on("disconnect", () => process.exit(1));
  process.on("message", (message) => {
    if (message === "stop") reader.stopped = true;
    else (reader = new Reader(kind, root, message)).run();
  });
} else {
  module.exports = { Readers };
}
