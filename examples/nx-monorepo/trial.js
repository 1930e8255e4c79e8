// The workspace of a trial: a copy of this one, its sources, and `genstore watch` on it.
"use strict";

const { execFileSync, spawn } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");
const { createInterface } = require("node:readline");

const LIBRARIES = ["units", "prices", "catalog"];
/** What is copied of the workspace. */
const COPIED = ["libs", "apps", "nx.json", "tsconfig.base.json", "package.json", "genstore.toml", ".gitignore"];
const LINES_PER_PART = 200;
/** Longer than any build takes on a busy machine. */
const PATIENCE_MS = 300_000;

/** Processes that must not outlive this one, each the first of its group. */
const started = new Set();

function run(command, args, cwd, stdin = "ignore", more = {}) {
  const env = { ...process.env, NX_DAEMON: "false", NEXT_TELEMETRY_DISABLED: "1", ...more };
  const child = spawn(command, args, { cwd, env, stdio: [stdin, "pipe", "pipe"], detached: true });
  if (child.pid !== undefined) started.add(child);
  child.ended = new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      started.delete(child);
      resolve(code ?? signal);
    });
  });
  return child;
}

/** Gives the files below a directory. */
function filesBelow(dir) {
  const entries = fs.readdirSync(dir, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
}

/**
 * Copies the workspace, with so many more modules in each library, and the API at this port (0 is any). The
 * packages are behind a link, or `own`: Turbopack follows no link out of the folder with the lockfile.
 */
function copyWorkspace(to, parts, port = 0, own = false) {
  fs.mkdirSync(to);
  for (const name of COPIED) {
    fs.cpSync(path.join(__dirname, name), path.join(to, name), { recursive: true });
  }
  const config = path.join(to, "genstore.toml");
  fs.writeFileSync(config, fs.readFileSync(config, "utf8").replace("127.0.0.1:3333", `127.0.0.1:${port}`));
  const packages = [fs.realpathSync(path.join(__dirname, "node_modules")), path.join(to, "node_modules")];
  if (own) {
    // Hard links, which need the same filesystem.
    execFileSync("cp", ["-al", ...packages]);
    fs.copyFileSync(path.join(__dirname, "package-lock.json"), path.join(to, "package-lock.json"));
  } else {
    fs.symlinkSync(...packages);
  }
  for (const library of LIBRARIES) {
    for (let part = 0; part < parts; part++) {
      const lines = Array.from({ length: LINES_PER_PART }, (_, n) => `  "line ${n} of part ${part}",`);
      const text = `export const lines = [\n${lines.join("\n")}\n];\nexport const release = "1.0.0";\n`;
      fs.writeFileSync(path.join(to, "libs", library, `src/lib/part-${part}.ts`), text);
    }
  }
}

/** Gives all sources another release. */
function writeSources(workspace, from, to) {
  for (const file of LIBRARIES.flatMap((library) => filesBelow(path.join(workspace, "libs", library)))) {
    const text = fs.readFileSync(file, "utf8");
    const changed = text.replaceAll(`"1.0.${from}"`, `"1.0.${to}"`);
    if (changed !== text) fs.writeFileSync(file, changed);
  }
}

/** Makes sure that what is shown is what was just built. */
function checkShown(view, release) {
  const { version } = JSON.parse(fs.readFileSync(path.join(view, "catalog/package.json"), "utf8"));
  if (version !== `1.0.${release}`) throw new Error(`${view} shows ${version}, not 1.0.${release}`);
}

/** Tells the files that readers read: what the libraries' builds made. */
function filesToRead(view) {
  const root = fs.realpathSync(view);
  return LIBRARIES.flatMap((library) => filesBelow(path.join(root, library)))
    .map((file) => path.relative(root, file));
}

/** `genstore watch`, as an editor's plug-in would drive it. */
class Watch {
  constructor(genstore, workspace) {
    this.said = [];
    this.warnings = [];
    this.builds = 0;
    /** Whether a build may fail. */
    this.mayFail = false;
    this.waiting = [];
    this.child = run(genstore, ["watch", "--json"], workspace);
    this.child.stderr.on("data", (data) => this.said.push(data));
    createInterface({ input: this.child.stdout }).on("line", (line) => this.take(line));
    this.child.ended.then(
      (status) => this.fail(`genstore watch ended with ${status}`),
      (error) => this.fail(`genstore watch could not be started: ${error.message}`),
    );
  }

  take(line) {
    const event = JSON.parse(line);
    if (event.event === "warning") this.warnings.push(event.message);
    if (event.event === "build-start") this.builds++;
    if (event.event === "error" && !(this.mayFail && event.code === "build-failed")) return this.fail(event.message);
    for (const waiting of this.waiting.filter(({ name }) => name === event.event)) waiting.resolve(event);
  }

  fail(message) {
    this.failed = new Error(`${message}\n${Buffer.concat(this.said)}`);
    for (const { reject } of this.waiting) reject(this.failed);
  }

  /** Waits for the next event of this name. */
  async next(name) {
    if (this.failed) throw this.failed;
    let timer;
    const event = new Promise((resolve, reject) => {
      this.waiting.push({ name, resolve, reject });
      timer = setTimeout(() => this.fail(`genstore watch told no ${name}`), PATIENCE_MS);
    });
    return event.finally(() => {
      clearTimeout(timer);
      this.waiting = [];
    });
  }

  async end() {
    this.child.kill("SIGINT");
    const status = await this.child.ended;
    if (status !== 130) throw new Error(`genstore watch ended with ${status}:\n${Buffer.concat(this.said)}`);
  }
}

module.exports = { LIBRARIES, PATIENCE_MS, Watch, checkShown, copyWorkspace, filesToRead, run, started, writeSources };
