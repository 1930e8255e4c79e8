// The client: runs the program with --json, and reads its documents.
//
// A call fails with a GenstoreError. Its code is the program's own, except for the three codes that begin
// with "client-".

import { spawn } from "node:child_process";
import { constants } from "node:os";
import { createInterface } from "node:readline";

import { findBinary } from "./binary.js";

export { findBinary };

/** The exit statuses with which a document comes: done, and partly done with warnings. */
const DONE = [0, 3];

/** The flags of the options, by their kind. */
const VALUES = {
  note: "--message",
  expect: "--expect",
  lossy: "--lossy",
  durability: "--durability",
  ttl: "--ttl",
  ownerPid: "--owner-pid",
  after: "--after",
  timeout: "--timeout",
  debounce: "--debounce",
  output: "--output",
};
const SWITCHES = {
  noActivate: "--no-activate",
  always: "--always",
  allowEmpty: "--allow-empty",
  rehash: "--rehash",
  consume: "--consume",
  dryRun: "--dry-run",
  keepGood: "--keep-good",
};
const LISTS = { run: "--run", paths: "--path", ignore: "--ignore" };

/** A failed call: the document `genstore.error/1`, as an exception. */
export class GenstoreError extends Error {
  constructor(document) {
    super(document.message);
    this.name = "GenstoreError";
    this.code = document.code;
    this.exit = document.exit;
    this.hint = document.hint;
    this.document = document;
  }
}

/** A store, and the way to run the program on it. */
export class Genstore {
  #options;

  constructor(options = {}) {
    this.#options = { ...options };
  }

  /** Publishes a directory as a new generation. */
  publish(directory, options = {}) {
    return this.json("genstore.publish/1", ["publish", ...flags(options), "--", directory], options);
  }

  /** Publishes the entries of a plan. */
  async publishPlan(entries, options = {}) {
    const args = ["publish", "--plan", "-", ...flags(options)];
    return this.json("genstore.publish/1", args, { ...options, input: planLines(entries) });
  }

  /** Begins a stage. It ends with this process, unless the options name another owner or a time. */
  async begin(options = {}) {
    const owner = options.ttl === undefined ? { ownerPid: process.pid } : {};
    const args = ["begin", ...flags({ ...owner, ...options })];
    return new Stage(this, await this.json("genstore.begin/1", args, options));
  }

  /** Returns the current generation. */
  current(options = {}) {
    return this.json("genstore.current/1", ["current"], options);
  }

  /** Waits until another generation is current. */
  wait(options = {}) {
    return this.json("genstore.wait/1", ["wait", ...flags(options)], options);
  }

  /** Goes back to an older good generation. */
  rollback(options = {}) {
    const steps = options.steps === undefined ? [] : [String(options.steps)];
    return this.json("genstore.rollback/1", ["rollback", ...flags(options), ...steps], options);
  }

  /** Runs a verb, and returns its document, which must have this schema. */
  async json(schema, args, options = {}) {
    const child = this.#start(args, options.input ? "pipe" : "ignore", options.signal);
    const output = text(child.stdout);
    const listener = this.#listen(child);
    const fed = feed(child, options.input);
    const ended = end(child);
    // The first failure is thrown after everything has ended.
    if (options.input) await Promise.allSettled([fed, ended]);
    await fed;
    const status = await ended;
    const error = listener();
    const document = DONE.includes(status) ? parse(output()) : undefined;
    if (document?.schema === schema) {
      return document;
    }
    throw new GenstoreError(error ?? unexplained(status, output()));
  }

  /** Builds and publishes when sources change. Yields the events. Leaving the loop ends the watch. */
  async *watch(options = {}) {
    const build = options.build ? ["--", ...options.build] : [];
    const child = this.#start(["watch", ...flags(options), ...build], "ignore", options.signal);
    const ended = end(child);
    const listener = this.#listen(child);
    // A program that cannot be started is the error of `ended`.
    ended.catch(() => {});
    let last;
    try {
      for await (const line of createInterface({ input: child.stdout })) {
        last = parse(line);
        if (last === undefined) {
          throw new GenstoreError(unexplained(0, line));
        }
        yield last;
      }
      const status = await ended;
      const error = listener();
      if (error || last?.event !== "end") {
        throw new GenstoreError(error ?? unexplained(status, ""));
      }
    } finally {
      child.kill("SIGTERM");
      child.stdout.resume();
      // The builds' processes are stopped before the program ends.
      await ended.catch(() => {});
    }
  }

  #start(args, stdin, signal) {
    const { binary = findBinary(), store, directory, lockTimeout, env } = this.#options;
    const global = ["--json"];
    if (store !== undefined) global.push("--store", store);
    if (lockTimeout !== undefined) global.push("--lock-timeout", lockTimeout);
    const child = spawn(binary, [...global, ...args], {
      cwd: directory,
      env: env && { ...process.env, ...env },
      stdio: [stdin, "pipe", "pipe"],
    });
    const stop = () => child.kill("SIGTERM");
    signal?.addEventListener("abort", stop, { once: true });
    child.once("close", () => signal?.removeEventListener("abort", stop));
    if (signal?.aborted) {
      stop();
    }
    return child;
  }

  /**
   * Passes stderr on, line by line. Returns a function for the time after the end: it returns the error document
   * of stderr, if there is one.
   */
  #listen(child) {
    const onOutput = this.#options.onOutput ?? ((line) => process.stderr.write(`${line}\n`));
    let error;
    let thrown;
    let open = "";
    const pass = (line) => {
      const document = line.startsWith("{") ? parse(line) : undefined;
      if (document?.schema === "genstore.error/1") {
        error = document;
      } else {
        try {
          onOutput(line);
        } catch (failure) {
          thrown ??= { failure };
        }
      }
    };
    child.stderr.setEncoding("utf8").on("data", (text) => {
      const lines = (open + text).split("\n");
      open = lines.pop();
      lines.forEach(pass);
    });
    return () => {
      if (open !== "") pass(open);
      if (thrown) throw thrown.failure;
      return error;
    };
  }
}

/** A stage: a directory to write to, until it is committed or aborted. */
export class Stage {
  #genstore;

  constructor(genstore, document) {
    this.#genstore = genstore;
    this.schema = document.schema;
    this.id = document.stage;
    this.path = document.path;
  }

  /** Publishes what was written to the stage. */
  commit(options = {}) {
    const args = ["commit", ...flags(options), "--", this.id];
    return this.#genstore.json("genstore.publish/1", args, options);
  }

  /** Removes the stage. */
  abort(options = {}) {
    return this.#genstore.json("genstore.abort/1", ["abort", "--", this.id], options);
  }
}

function flags(options) {
  const found = [];
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || value === false) continue;
    // One argument each: a value may begin with a hyphen.
    if (name in VALUES) found.push(`${VALUES[name]}=${value}`);
    if (name in SWITCHES) found.push(SWITCHES[name]);
    if (name in LISTS) found.push(...value.map((one) => `${LISTS[name]}=${one}`));
  }
  for (const [key, value] of Object.entries(options.facts ?? {})) {
    found.push(`--fact=${key}=${value}`);
  }
  return [...found, ...(options.args ?? [])];
}

/** Yields the lines of a plan. The program refuses a plan without its last line. */
async function* planLines(entries) {
  yield '{"begin":true}\n';
  for await (const { bytes, mode, ...entry } of entries) {
    if (bytes !== undefined) entry.bytes = Buffer.from(bytes).toString("base64");
    if (mode !== undefined) entry.mode = typeof mode === "number" ? `0${mode.toString(8)}` : mode;
    yield `${JSON.stringify(entry)}\n`;
  }
  yield '{"end":true}\n';
}

/** Writes to the program. It may stop reading at an error, which its own document then explains. */
async function feed({ stdin }, lines) {
  if (!lines) return;
  stdin.on("error", () => {});
  try {
    for await (const line of lines) {
      if (stdin.destroyed) break;
      if (!stdin.write(line)) {
        await new Promise((resolve) => {
          stdin.once("drain", resolve);
          stdin.once("close", resolve);
        });
      }
    }
  } finally {
    stdin.end();
  }
}

/** Resolves with the exit status, in a shell's notation. */
function end(child) {
  return new Promise((resolve, reject) => {
    child.once("error", (cause) => {
      const message = `cannot run ${child.spawnfile}: ${cause.message}`;
      const hint = "install the package of this platform, or set GENSTORE_BINARY";
      reject(new GenstoreError({ code: "client-no-binary", exit: 127, message, hint }));
    });
    child.once("close", (code, signal) => resolve(code ?? 128 + constants.signals[signal]));
  });
}

/** Collects a stream. Returns a function that returns its text, for the time after its end. */
function text(stream) {
  const chunks = [];
  stream.on("data", (chunk) => chunks.push(chunk));
  return () => Buffer.concat(chunks).toString();
}

function parse(line) {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** Describes an end without an error document. */
function unexplained(status, output) {
  if (status === 130 || status === 143) {
    const hint = "call it again";
    return { code: "interrupted", exit: status, message: "genstore was interrupted", hint };
  }
  const [code, message] =
    status > 128
      ? ["client-killed", `genstore was killed by signal ${status - 128}`]
      : ["client-bad-output", `genstore ended with ${status}, without a document of the expected schema`];
  const hint = "check that the program and this package have the same version";
  return { code, exit: status, message, hint, output: output.slice(0, 1000) };
}
